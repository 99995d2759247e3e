"""A refusal that is said in SFTP, since sshd drops the standard error of a subsystem."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.hook.conftest import Hook
from tests.hook.fake_daemon import Step, answer

SENTENCE = b"hoopjump: no (role-no-file-transfer, ref abcd2345)"
HINT = "hoopjump: hint: ask\x1b[2J for another"
INIT = b"\0\0\0\x05\x01\0\0\0\x03"
VERSION = b"\0\0\0\x05\x02\0\0\0\x03"
REFUSAL: Step = answer(
    ("outcome", "refuse"), ("exit", "77"), ("text", SENTENCE), ("text", HINT), ("stdout", "a list"), ("sftp", "8")
)


def packet(kind: int, body: bytes) -> bytes:
    """A packet of SFTP (draft-ietf-secsh-filexfer-02, section 3)."""
    return (1 + len(body)).to_bytes(4, "big") + bytes([kind]) + body


def string(value: bytes) -> bytes:
    """A string of SFTP."""
    return len(value).to_bytes(4, "big") + value


def status(request: bytes) -> bytes:
    """The answer to a request that is refused: SSH_FX_OP_UNSUPPORTED, and all that is said, without its escape."""
    text = SENTENCE + b"\n" + HINT.replace("\x1b", "?").encode()
    return packet(101, request + b"\0\0\0\x08" + string(text) + string(b"en"))


@contextmanager
def refused(hook: Hook, step: Step = REFUSAL) -> Iterator[subprocess.Popen[bytes]]:
    """A session whose daemon says no."""
    with hook.serving(step), hook.start() as client:
        yield client


def said(hook: Hook, data: bytes, step: Step = REFUSAL) -> bytes:
    """All that a client reads that says these bytes and no more; the session has ended as refused."""
    with refused(hook, step) as client:
        out, err = client.communicate(data, timeout=60)
        assert err.splitlines()[0] == SENTENCE
        assert client.returncode == 77
        return out


def test_every_request_fails_with_the_sentence(hook: Hook) -> None:
    """What sftp asks for first, and what anybody may ask for then, is answered by code, sentence and hint."""
    requests = [(16, b"\0\0\0\x01"), (17, b"\0\0\0\x02"), (3, b"\xff\xff\xff\xff"), (200, b"\0\0\0\x02"), (99, b"abcd")]
    data = b"".join(packet(kind, request + string(b".")) for kind, request in requests)
    assert said(hook, INIT + data) == VERSION + b"".join(status(request) for _, request in requests)


def test_the_first_look_of_scp_finds_something_of_which_nothing_is_known(hook: Hook) -> None:
    """LSTAT has an answer without any attribute, so that scp goes on to a request whose failure it shows."""
    lstat = packet(7, b"\0\0\0\x01" + string(b"x"))
    assert said(hook, INIT + lstat) == VERSION + packet(105, b"\0\0\0\x01" + bytes(4))


def test_a_request_that_comes_in_pieces_is_one(hook: Hook) -> None:
    """Packets need not keep to writes; each is answered as soon as it is there."""
    with refused(hook) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        for byte in INIT:
            client.stdin.write(bytes([byte]))
            client.stdin.flush()
        assert client.stdout.read(len(VERSION)) == VERSION
        client.stdin.write(packet(16, b"\0\0\0\x01" + string(b"."))[:6])
        client.stdin.flush()
        client.stdin.write(packet(16, b"\0\0\0\x01" + string(b"."))[6:])
        client.stdin.close()
        assert client.stdout.read() == status(b"\0\0\0\x01")
        assert client.wait(20) == 77


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        INIT[:-1],
        packet(1, b""),
        packet(16, b"\0\0\0\x01" + string(b".")),
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\x04\0\0" + bytes(1000),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        bytes(200_000),
    ],
)
def test_who_does_not_greet_reads_nothing(hook: Hook, data: bytes) -> None:
    """What begins otherwise than an SFTP client gets no byte on its standard output, and no list either."""
    assert said(hook, data) == b""


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff" + bytes(100), b"\0\x04\0\0" + bytes(100), b"\0\0\0\x01\x10", b"\0\0\x10\0\x10abc"]
)
def test_what_is_no_request_ends_the_talk(hook: Hook, data: bytes) -> None:
    """A packet of an impossible size, or one that never becomes whole, is not answered."""
    assert said(hook, INIT + data) == VERSION


def test_one_who_takes_no_answer_is_left(hook: Hook) -> None:
    """A client that asks and asks, and reads nothing, does not keep the hook."""
    flood = packet(16, b"\0\0\0\x01" + string(b".")) * 1000
    with refused(hook) as client:
        assert client.stdin is not None
        with pytest.raises(BrokenPipeError):
            client.stdin.write(INIT)
            while True:
                client.stdin.write(flood)
        with suppress(BrokenPipeError):
            client.stdin.close()
        assert client.wait(20) == 77


def test_one_who_says_nothing_is_left(hook: Hook) -> None:
    """A client that keeps its connection open, and silent, is left when its time is over."""
    source = hook.file.read_text()
    assert "SFTP_SECONDS = 20.0" in source
    hook.file.write_text(source.replace("SFTP_SECONDS = 20.0", "SFTP_SECONDS = 0.2"))
    with refused(hook) as client:
        assert client.wait(20) == 77
        assert client.stdout is not None
        assert client.stdout.read() == b""


def test_without_the_key_nothing_is_said_in_sftp(hook: Hook) -> None:
    """An older daemon does not tell; then its lists go to standard output, and the input is left alone."""
    step = answer(("outcome", "refuse"), ("exit", "77"), ("text", SENTENCE), ("stdout", "a list"))
    assert said(hook, INIT, step) == b"a list\n"
