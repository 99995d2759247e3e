"""`hoopjump cert issue`: what OpenSSH accepts, and what is refused before it is certified."""

from __future__ import annotations

import base64
import os
import re
import time
from pathlib import Path

import pytest

from hoopjump.cli.validity import ValidityError, parse_window
from hoopjump.decision.moments import FOREVER
from hoopjump.decision.wire import encode_string
from tests.cli.conftest import Run, keygen


def fields(certificate: Path) -> dict[str, str | list[str]]:
    """What `ssh-keygen -L` prints, by label."""
    answer = keygen("-L", "-f", certificate)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, str | list[str]] = {}
    label = ""
    for line in answer.stdout.splitlines()[1:]:
        if line.startswith(" " * 16):
            values = found.setdefault(label, [])
            assert isinstance(values, list)
            values.append(line.strip())
        else:
            label, _, value = line.strip().partition(":")
            if value.strip():
                found[label] = value.strip()
    return found


def sk_key(kind: str) -> str:
    """A FIDO public key line, as an authenticator would have made it (PROTOCOL.u2f)."""
    raw = base64.b64decode(
        {
            "sk-ssh-ed25519@openssh.com": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            "sk-ecdsa-sha2-nistp256@openssh.com": (
                "BGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU="
            ),
        }[kind]
    )
    curve = encode_string(b"nistp256") if "ecdsa" in kind else b""
    blob = encode_string(kind.encode()) + curve + encode_string(raw) + encode_string(b"ssh:")
    return f"{kind} {base64.b64encode(blob).decode()} user@key\n"


@pytest.mark.parametrize(
    "kind", ["ed25519", "rsa", "ecdsa-256", "ecdsa-384", "ecdsa-521", "sk-ssh-ed25519", "sk-ecdsa-sha2-nistp256"]
)
def test_ssh_keygen_agrees_field_by_field(kind: str, hoopjump: Run, place: Path) -> None:
    """For every kind of key, FIDO keys included."""
    family, _, bits = kind.partition("-")
    if family == "sk":
        (place / "k.pub").write_text(sk_key(f"{kind}@openssh.com"))
    else:
        keygen("-q", "-t", family, *(["-b", bits] if bits else []), "-N", "", "-f", place / "k")
    said = hoopjump(
        *("cert", "issue", "--ca", place / "ca", "--principal", "alice@x.io", "--principal", "auth0|7"),
        *("--key-id", "Alice, laptop", "--serial", "18446744073709551615"),
        *("--valid", "20260101000000Z:20260102030405Z", "--extension", "permit-pty", "--extension", "note@x=hello"),
        *("--critical-option", "source-address=10.0.0.0/8,::1", place / "k.pub"),
    )
    assert (said.status, said.out) == (0, f"{place}/k-cert.pub\n"), said.err
    seen = fields(place / "k-cert.pub")
    local = [time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(moment)) for moment in (1767225600, 1767323045)]
    fingerprint = keygen("-l", "-f", place / "k.pub").stdout.split()[1]
    ca = keygen("-l", "-f", place / "ca.pub").stdout.split()[1]
    plain = (place / "k.pub").read_text().split()[0].removesuffix("@openssh.com")
    assert seen["Type"] == f"{plain}-cert-v01@openssh.com user certificate"
    assert str(seen["Public key"]).endswith(f"-CERT {fingerprint}")
    assert seen["Signing CA"] == f"ED25519 {ca} (using ssh-ed25519)"
    assert seen["Key ID"] == '"Alice, laptop"'
    assert seen["Serial"] == "18446744073709551615"
    assert seen["Valid"] == f"from {local[0]} to {local[1]}"
    assert seen["Principals"] == ["alice@x.io", "auth0|7"]
    assert seen["Critical Options"] == ["source-address 10.0.0.0/8,::1"]
    assert str(seen["Extensions"][0]).startswith("note@x UNKNOWN OPTION")
    assert seen["Extensions"][1] == "permit-pty"
    assert hoopjump("cert", "inspect", place / "k-cert.pub").status == 0


def test_usual_values_are_those_a_login_through_hoopjump_needs(hoopjump: Run, place: Path) -> None:
    """Eight hours from a minute ago, both permissions, the principal as key ID, a serial that can be revoked."""
    before = int(time.time())
    assert hoopjump("cert", "issue", "--ca", place / "ca", "--principal", "alice", place / "user.pub").status == 0
    seen = fields(place / "user-cert.pub")
    assert seen["Extensions"] == ["permit-port-forwarding", "permit-pty"]
    assert seen["Key ID"] == '"alice"'
    assert int(str(seen["Serial"])) > 0
    found = re.fullmatch(r"from (\S+) to (\S+)", str(seen["Valid"]))
    assert found
    begin, end = (time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S")) for text in found.groups())
    assert before - 60 <= begin <= time.time() - 60
    assert end - begin == 8 * 3600 + 60
    assert (place / "user-cert.pub").read_text().endswith(" user@laptop\n")


def test_a_host_certificate_and_no_extensions(hoopjump: Run, place: Path) -> None:
    """--host changes the type and leaves out what is for users."""
    command = ("cert", "issue", "--ca", place / "ca", "--principal", "bastion.x.io", place / "user.pub")
    assert hoopjump(*command, "--host").status == 0
    seen = fields(place / "user-cert.pub")
    assert seen["Type"] == "ssh-ed25519-cert-v01@openssh.com host certificate"
    assert seen["Extensions"] == "(none)"
    assert hoopjump(*command, "--no-extensions", "--force").status == 0
    assert fields(place / "user-cert.pub")["Extensions"] == "(none)"


def test_stdin_to_stdout(hoopjump: Run, place: Path) -> None:
    """`-` reads the public key from stdin and writes the certificate to stdout, and nothing else there."""
    key = (place / "user.pub").read_bytes()
    said = hoopjump("cert", "issue", "--ca", place / "ca", "--principal", "alice", "-", stdin=key)
    assert said.status == 0
    (place / "out").write_text(said.out)
    assert fields(place / "out")["Principals"] == ["alice"]
    assert said.out.count("\n") == 1


def test_an_existing_certificate_stays_without_force(hoopjump: Run, place: Path) -> None:
    """Nothing is overwritten unasked."""
    (place / "user-cert.pub").write_text("precious")
    said = hoopjump("cert", "issue", "--ca", place / "ca", "--principal", "alice", place / "user.pub")
    assert said.status == 1
    assert "is there already" in said.err
    assert (place / "user-cert.pub").read_text() == "precious"


def rsa_line(bits: int, place: Path) -> str:
    """A public RSA key of a size that ssh-keygen still makes."""
    keygen("-q", "-t", "rsa", "-b", str(bits), "-N", "", "-f", place / "weak")
    return (place / "weak.pub").read_text()


ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "is empty"),
        ("hello world\n", "is not base64"),
        (ED25519[:-8] + "\n", "only 26 bytes available"),
        (ED25519.replace("ssh-ed25519", "ssh-rsa"), "names another type"),
        (f'command="ls" {ED25519}', "is not base64|names another type|sshpubkeys|option"),
        (f"{ED25519}\n{ED25519}\n", "more than one line"),
        (
            "ssh-ed25519 " + base64.b64encode(encode_string(b"ssh-ed25519") + encode_string(b"x" * 31)).decode(),
            "256|32",
        ),
        ("ssh-dss AAAAB3NzaC1kc3M=", "."),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "private key"),
        ("\x1b[2J\udcff", "not an OpenSSH public key"),
        ("x" * 20000, "larger than"),
    ],
)
def test_a_malformed_public_key_is_refused_with_the_reason(line: str, reason: str, hoopjump: Run, place: Path) -> None:
    """One sentence, exit 1, no certificate."""
    key = place / "bad.pub"
    key.write_bytes(line.encode("utf-8", "surrogateescape"))
    said = hoopjump("cert", "issue", "--ca", place / "ca", "--principal", "alice", key)
    assert said.status == 1
    assert re.search(reason, said.err), said.err
    assert "\x1b" not in said.err
    assert "Traceback" not in said.err
    assert not (place / "bad-cert.pub").exists()


def test_a_weak_rsa_key_is_refused_and_certified_only_as_a_flaw(hoopjump: Run, place: Path) -> None:
    """1024 bits are what sshd still takes, and too few here."""
    rsa_line(1024, place)
    command = ("cert", "issue", "--ca", place / "ca", "--principal", "alice", place / "weak.pub")
    said = hoopjump(*command)
    assert said.status == 1
    assert said.err.startswith(f"hoopjump: {place}/weak.pub: an RSA key of 1024 bits is too weak")
    assert hoopjump(*command, "--flaw", "weak-key").status == 0


def test_a_certificate_is_no_public_key(hoopjump: Run, place: Path) -> None:
    """Certifying a certificate would look right and be refused everywhere."""
    command = ("cert", "issue", "--ca", place / "ca", "--principal", "alice")
    hoopjump(*command, place / "user.pub")
    said = hoopjump(*command, place / "user-cert.pub")
    assert said.status == 1
    assert "this is a certificate already" in said.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "without a principal"),
        (("--principal", "a b"), "cannot be used"),
        (("--principal", "a\nroot"), "cannot be used"),
        (("--principal", "a,b"), "cannot be used"),
        (("--principal", "a", "--key-id", "x\ny"), "control characters"),
        (("--principal", "a", "--critical-option", "nonsense=1"), "knows no critical option"),
        (("--principal", "a", "--critical-option", "source-address=10.0.0.1/8"), "not an address or a network"),
        (("--principal", "a", "--critical-option", "source-address"), "needs a value"),
        (("--principal", "a", "--extension", "permit-pty=yes"), "would be refused: extensions: 'permit-pty'"),
        (("--principal", "a", "--extension", "permit-pty", "--extension", "permit-pty"), "is given twice"),
        (("--principal", "a", "--extension", "Permit Pty"), "is not the name of an option"),
        (("--principal", "a", "--flaw", "nonsense"), "no such flaw"),
    ],
)
def test_what_a_bastion_would_refuse_is_not_issued(
    options: tuple[str, ...], reason: str, hoopjump: Run, place: Path
) -> None:
    """The reason is told before anybody carries the certificate away."""
    said = hoopjump("cert", "issue", "--ca", place / "ca", *options, place / "user.pub")
    assert said.status == 1
    assert reason in said.err
    assert "Traceback" not in said.err
    assert not (place / "user-cert.pub").exists()


def test_a_window_that_is_none_is_wrong_usage(hoopjump: Run, place: Path) -> None:
    """As a misspelt option is."""
    said = hoopjump("cert", "issue", "--ca", place / "ca", "--principal", "a", "--valid", "8 hours", place / "user.pub")
    assert said.status == 2
    assert "'8 hours' is not a validity window" in said.err
    assert not (place / "user-cert.pub").exists()


NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("8h", (NOW - 60, NOW + 28800)),
        ("+1d12h", (NOW - 60, NOW + 129600)),
        ("90", (NOW - 60, NOW + 90)),
        ("forever", (NOW - 60, FOREVER)),
        ("-5m:+1w", (NOW - 300, NOW + 604800)),
        ("always:forever", (0, FOREVER)),
        ("0x10:0xffffffffffffffff", (16, FOREVER)),
        ("20270101Z:20270102Z", (1798761600, 1798848000)),
        ("202701010000Z:20270101000001Z", (1798761600, 1798761601)),
    ],
)
def test_validity_windows_as_ssh_keygen_reads_them(text: str, window: tuple[int, int]) -> None:
    """Durations, relative and absolute times, and the words for no bound."""
    assert parse_window(text, NOW) == window


@pytest.mark.parametrize(
    "text",
    ["", ":", "8h:", ":8h", "8x", "+:+", "+8h:-8h", "+1h:+1h", "2027:2028", "20271301Z:forever", "٣h", "0x1g:+1h"],
)
def test_what_is_no_window_is_refused(text: str) -> None:
    """Also a window that holds no moment."""
    with pytest.raises(ValidityError):
        parse_window(text, NOW)


def test_local_dates_are_the_ones_ssh_keygen_means(hoopjump: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A date without Z is in the time zone of whoever types it."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        hoopjump(
            *("cert", "issue", "--ca", place / "ca", "--principal", "a"),
            *("--valid", "20260301:20260401", place / "user.pub"),
        )
        assert os.environ["TZ"] == "Asia/Tokyo"
        assert fields(place / "user-cert.pub")["Valid"] == "from 2026-03-01T00:00:00 to 2026-04-01T00:00:00"
    finally:
        monkeypatch.undo()
        time.tzset()
