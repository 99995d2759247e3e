"""`hoopjump logins` against a daemon's socket."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hoopjump.daemon.wire import Message, Pair, decode, encode
from tests.cli.conftest import Run


class Daemon:
    """Answers each call with the next of ``pages``, else with ``answer``, and remembers what it was asked."""

    def __init__(self, path: Path) -> None:
        self.asked: list[Message] = []
        self.answer: bytes = b""
        self.pages: list[bytes] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def say(self, *pairs: Pair) -> None:
        """The next answers."""
        self.answer = encode(pairs)

    def json(self, value: Any) -> None:
        """The next answers, as the daemon gives them to administrators."""
        self.say(("outcome", "ok"), ("json", json.dumps(value)))

    def close(self) -> None:
        """Stop."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            with link:
                (length,) = struct.unpack(">I", link.recv(4, socket.MSG_WAITALL))
                self.asked.append(decode(link.recv(length, socket.MSG_WAITALL)))
                link.sendall(self.pages.pop(0) if self.pages else self.answer)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon at the socket of :func:`config`."""
    made = Daemon(tmp_path / "sock")
    yield made
    made.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with its socket and audit file in the test's directory."""
    file = tmp_path / "hoopjump.toml"
    file.write_text(
        f'[daemon]\nsocket = "{tmp_path}/sock"\n[audit]\nfile = "{tmp_path}/audit.jsonl"\n'
        '[gateway]\napi_url = "http://127.0.0.1:9"\nssh_host = "127.0.0.1"\n'
    )
    return file


def row(**changes: Any) -> dict[str, Any]:
    """A login, as the daemon tells it."""
    now = time.time()
    usual = {
        "login": "abcdefgh",
        "state": "open",
        "ending": False,
        "account": "hoop",
        "user": "alice@x.io",
        "subject": "alice@x.io",
        "source": "192.0.2.7",
        "access": "allow",
        "reason": "allowed",
        "admitted_at": now - 3700,
        "opened_at": now - 3665.5,
        "deadline": int(now) + 90_000,
        "monitor": 4711,
        "sessions": 2,
    }
    return {**usual, **changes}


def test_logins_are_listed_as_a_table(daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """One a line, with what an administrator looks for."""
    daemon.json([row(), row(login="ijklmnop", user=None, subject=None, source=None, deadline=None, ending=True)])
    said = hoopjump("--config", config, "logins", "list")
    assert (said.status, said.err) == (0, "")
    lines = [line.split() for line in said.out.splitlines()]
    assert lines[0] == ["LOGIN", "STATE", "USER", "ACCOUNT", "FROM", "SINCE", "ENDS", "IN", "SESSIONS", "REASON"]
    assert lines[1] == ["abcdefgh", "open", "alice@x.io", "hoop", "192.0.2.7", "1h01m", lines[1][6], "2", "allowed"]
    assert lines[1][6] in ("1d01h", "1d00h")
    assert lines[2][:5] == ["ijklmnop", "ending", "-", "hoop", "-"]
    assert daemon.asked[0].text("verb") == "logins"


def test_a_list_of_several_pages_is_read_to_its_end(daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """Each question goes on behind the last login that the daemon told."""
    first, last = row(login="first", admitted_at=1.5), row(login="last", admitted_at=2.5)
    pages = [[{**first, "more": True}], [last]]
    daemon.pages = [encode([("outcome", "ok"), ("json", json.dumps(page))]) for page in pages]
    said = hoopjump("--config", config, "logins", "list", "--json")
    assert json.loads(said.out) == [first, last]
    assert [message.text("after") for message in daemon.asked] == [None, "1.5 first"]


def test_json_is_what_the_daemon_said(daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """Everything, for scripts."""
    rows = [row(user="a\x1b[2J\u202e")]
    daemon.json(rows)
    said = hoopjump("--config", config, "logins", "list", "--json")
    assert json.loads(said.out) == rows
    assert said.out.isascii()
    assert "\x1b" not in said.out


def test_a_hostile_name_cannot_act_on_the_terminal(daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """Names come from the gateway."""
    daemon.json([row(user="\x1b]0;x\x07")])
    assert "\\x1b]0;x\\x07" in hoopjump("--config", config, "logins", "list").out


def test_a_login_is_ended_by_its_name(daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """The daemon gets the name as it was given."""
    daemon.json({"login": "abcdefgh", "found": True})
    said = hoopjump("--config", config, "logins", "end", "abcdefgh")
    assert (said.status, said.out, said.err) == (0, "", "hoopjump: login abcdefgh is being ended\n")
    assert daemon.asked[0].text("login") == "abcdefgh"


def test_a_login_that_there_is_not_is_told(daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """Exit 1 and where to look."""
    daemon.json({"login": "x", "found": False})
    said = hoopjump("--config", config, "logins", "end", "x")
    assert said.status == 1
    assert said.err == "hoopjump: no login 'x'\nhoopjump: hint: `hoopjump logins list` shows them\n"


def test_who_may_not_ask_is_told_to_be_root(daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """The daemon's reason, its reference, and the next step."""
    daemon.say(("outcome", "refuse"), ("exit", "77"), ("reason", "peer-not-allowed"), ("ref", "r7"), ("text", "No."))
    said = hoopjump("--config", config, "logins", "list")
    assert said.status == 1
    assert said.err == "hoopjump: No. (peer-not-allowed, ref r7)\nhoopjump: hint: run this as root\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x05abcde",
        encode([("outcome", "ok")]),
        encode([("outcome", "ok"), ("json", "{")]),
        encode([("outcome", "refuse"), ("reason", "unheard-of")]),
        encode([("outcome", "ok"), ("json", "\xff".encode("latin-1"))]),
    ],
)
def test_garbage_from_the_daemon_is_a_sentence(answer: bytes, daemon: Daemon, config: Path, hoopjump: Run) -> None:
    """No traceback, no wait without end."""
    daemon.answer = answer
    said = hoopjump("--config", config, "logins", "list")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("hoopjump: hoopjumpd ")
    assert "Traceback" not in said.err


def test_no_daemon_is_told_with_the_path(config: Path, hoopjump: Run, tmp_path: Path) -> None:
    """And what to look at."""
    said = hoopjump("--config", config, "logins", "list")
    assert said.status == 1
    assert said.err == (
        f"hoopjump: {tmp_path}/sock: hoopjumpd cannot be reached: {os.strerror(2)}\n"
        "hoopjump: hint: systemctl status hoopjumpd\n"
    )
