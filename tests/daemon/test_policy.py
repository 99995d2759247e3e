"""The policy's sources, and the small things that the daemon reads and writes."""

from __future__ import annotations

import json
import logging
import os
import socket
from pathlib import Path

import pytest

from hoopjump.config import parse
from hoopjump.daemon import systemd
from hoopjump.daemon.logs import LineFormatter
from hoopjump.daemon.policy import PolicySource, policy_of, read_authorities
from hoopjump.daemon.principals import source_address
from tests.daemon.yard import Authority


def config(directory: Path, host: str = "gw.x.io") -> str:
    return f"""
    [trust]
    user_cas = "{directory / "ca.pub"}"
    [gateway]
    api_url = "https://gw.x.io"
    ssh_host = "{host}"
    """


@pytest.mark.parametrize(
    ("host", "target"),
    [("gw.x.io", "gw.x.io:12222"), ("192.0.2.1", "192.0.2.1:12222"), ("2001:db8::1", "[2001:db8::1]:12222")],
)
def test_forward_target_is_written_as_permitopen_wants_it(tmp_path: Path, host: str, target: str) -> None:
    """An IPv6 address stands in brackets, everything else as it is."""
    assert policy_of(parse(config(tmp_path, host), "t"), frozenset()).forward_targets == (target,)


def test_line_that_is_no_key_ends_the_file_of_authorities(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As sshd does: what stands behind it is not trusted, and the log names the line."""
    first, second = Authority(), Authority()
    path = tmp_path / "ca.pub"
    path.write_text(f"# ours\n\n  {first.line}ssh-ed25519 nonsense\n{second.line}")
    assert read_authorities(path) == {first.signer.public_key}
    assert f"{path}:4" in caplog.text


def test_missing_file_of_authorities_trusts_nobody_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every login would be refused; the log is told once, not at each of them."""
    source = PolicySource(parse(config(tmp_path), "t"))
    assert source.current().trusted_cas == source.current().trusted_cas == frozenset()
    assert caplog.text.count("no user CA is trusted") == 1
    authority = Authority()
    (tmp_path / "ca.pub").write_text(authority.line)
    assert source.current().trusted_cas == {authority.signer.public_key}


def test_endless_file_of_authorities_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A device or an enormous file trusts nobody."""
    (tmp_path / "ca.pub").symlink_to("/dev/zero")
    assert PolicySource(parse(config(tmp_path), "t")).current().trusted_cas == frozenset()


@pytest.mark.parametrize(
    ("connection", "address"),
    [
        ("192.0.2.1 22 198.51.100.7 50000", "198.51.100.7"),
        ("2001:db8::1 22 2001:db8::2 50000", "2001:db8::2"),
        ("UNKNOWN 65535 UNKNOWN 65535", None),
        ("198.51.100.7", None),
        ("", None),
        (None, None),
    ],
)
def test_client_s_address_is_the_third_word(connection: str | None, address: str | None) -> None:
    """Server first, client second; what is no address is not known."""
    assert source_address(connection) == address


def test_log_line_is_one_line_of_printable_text() -> None:
    """Newlines and control characters from outside are escaped, and a trace stands behind the message."""
    record = logging.LogRecord("x", logging.WARNING, __file__, 1, "said %s", ("a\nb\x1b[2J\x7f\u202e",), None)
    line = LineFormatter(prefixes=True).format(record)
    assert line == r"<4>said a\nb\u001b[2J\u007f\u202e"
    error = ValueError("two\nlines")
    record.exc_info = (ValueError, error, None)
    line = LineFormatter(prefixes=False).format(record)
    assert line.startswith("warning: said ")
    assert line.isprintable()
    assert "ValueError: two\nlines" in json.loads(line.partition(" trace=")[2])


def test_socket_meant_for_another_process_is_not_taken(tmp_path: Path) -> None:
    """LISTEN_PID names who is meant (sd_listen_fds(3)); a child that inherits the variables binds its own."""
    environment = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"}
    with systemd.listener(tmp_path / "s", environment) as listener:
        assert listener.getsockname().startswith(str(tmp_path))
        assert environment == {}


def test_more_than_one_socket_is_refused(tmp_path: Path) -> None:
    """A unit with two ListenStream= is a mistake, told as one."""
    with pytest.raises(systemd.SocketError, match="2 sockets"):
        systemd.listener(tmp_path / "s", {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})


def test_file_in_the_socket_s_place_is_left_alone(tmp_path: Path) -> None:
    """Only a socket may be replaced."""
    (tmp_path / "s").write_text("precious")
    with pytest.raises(systemd.SocketError, match="is no socket"):
        systemd.bind(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "precious"


def test_notification_reaches_an_abstract_address() -> None:
    """NOTIFY_SOCKET may begin with @; without one nothing happens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("")
        systemd.notify("READY=1", {"NOTIFY_SOCKET": "@" + ear.getsockname()[1:].decode()})
        assert ear.recv(64) == b"READY=1"
    systemd.notify("READY=1", {})
    systemd.notify("READY=1", {"NOTIFY_SOCKET": "/nowhere/at/all"})
