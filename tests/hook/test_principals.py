"""The AuthorizedPrincipalsCommand: one checked line, or silence."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from hoopjump.dev.services import wait_for
from hoopjump.hook import LINE_LIMIT, receive, well_formed
from tests.hook.conftest import Hook, state
from tests.hook.fake_daemon import Step, answer, drop, frame, netstrings, read_frame, send, silent

CERTIFICATE = "AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29t" * 30
OPTIONS = ("--user=hoop", "--key-id=alice", "--serial=7", "--ca=SHA256:abc", f"--cert={CERTIFICATE}")
LINE = 'restrict,pty,port-forwarding,permitopen="192.0.2.10:12222" alice@x.io'
GOOD = answer(("outcome", "line"), ("line", LINE))


def denied(hook: Hook) -> str:
    """Run the verb; it must deny in silence. The one line that it logged."""
    done = hook.run("principals", *OPTIONS)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (line,) = hook.logged()
    assert CERTIFICATE not in line
    assert line.startswith("<84>hoopjump-hook[")
    assert "principals denied for account hoop: " in line
    return line


def test_principals_prints_the_line_of_the_daemon(hook: Hook) -> None:
    """The line is printed as it came, and nothing is logged."""
    with hook.serving(GOOD):
        done = hook.run("principals", *OPTIONS)
    assert (done.returncode, done.stdout, done.stderr) == (0, LINE.encode() + b"\n", b"")
    assert hook.logged() == []


def test_principals_asks_with_every_token_of_sshd(hook: Hook) -> None:
    """The tokens of the command line go over under their names, version and verb first."""
    with hook.serving(GOOD) as daemon:
        hook.run("principals", *OPTIONS, "--connection=192.0.2.1 22 192.0.2.9 40000")
    assert daemon.questions == [
        [
            ("v", b"1"),
            ("verb", b"principals"),
            ("account", b"hoop"),
            ("key-id", b"alice"),
            ("serial", b"7"),
            ("ca", b"SHA256:abc"),
            ("certificate", CERTIFICATE.encode()),
            ("connection", b"192.0.2.1 22 192.0.2.9 40000"),
        ]
    ]


def test_principals_hands_over_bytes_that_are_not_text(hook: Hook) -> None:
    """A key ID may hold any bytes, spaces, equal signs and newlines too; they arrive unchanged."""
    argv: list[bytes] = [word.encode() for word in hook.argv("principals", *OPTIONS)]
    argv[argv.index(b"--key-id=alice")] = b"--key-id=--user=x\n\xff\xfe #"
    with hook.serving(GOOD) as daemon:
        subprocess.run(argv, env={}, stdout=subprocess.DEVNULL, check=True)
    assert dict(daemon.questions[0])["key-id"] == b"--user=x\n\xff\xfe #"
    assert dict(daemon.questions[0])["account"] == b"hoop"


def test_denial_of_the_daemon_is_silent(hook: Hook) -> None:
    """The daemon has logged its reason itself."""
    with hook.serving(answer(("outcome", "deny"), ("reason", "cert-expired"), ("ref", "x"), ("text", "no"))):
        done = hook.run("principals", *OPTIONS)
    assert (done.returncode, done.stdout, done.stderr, hook.logged()) == (0, b"", b"", [])


def test_absent_daemon_denies(hook: Hook) -> None:
    """No socket: silence, exit 0, and the log says why."""
    assert "not there: No such file or directory" in denied(hook)


def test_socket_without_listener_denies(hook: Hook) -> None:
    """A socket that nobody serves any more: the same."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(hook.socket))
    assert "not there: Connection refused" in denied(hook)


def test_silent_daemon_is_left_at_the_hooks_own_deadline(hook: Hook) -> None:
    """The hook ends while the daemon still thinks."""
    with hook.serving(silent) as daemon:
        line = denied(hook)
        assert not daemon.released.is_set()
    assert "no answer within 2 s" in line


def test_trickling_daemon_is_left_at_the_hooks_own_deadline(hook: Hook) -> None:
    """The deadline is for the whole answer, not for each piece of it."""

    def trickle(daemon: object, link: socket.socket) -> None:
        read_frame(link)
        link.sendall(b"\x00\x01\x00\x00")
        stop = threading.Event()
        with contextlib.suppress(OSError):
            while not stop.wait(0.1):
                link.sendall(b"1")

    with hook.serving(trickle):
        assert "no answer within 2 s" in denied(hook)


def test_answer_that_came_while_the_machine_was_busy_counts() -> None:
    """The daemon was in time; that the hook gets to look only now is not its fault."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        past = time.monotonic() - 1
        answered = frame(("outcome", "line"), ("line", LINE))
        theirs.sendall(answered)
        assert receive(ours, past)["line"] == [LINE.encode()]
        theirs.sendall(answered[:-1])
        with pytest.raises(TimeoutError, match="timed out"):
            receive(ours, past)


def test_time_in_which_the_machine_stood_still_does_not_count(hook: Hook) -> None:
    """A virtual machine that was moved elsewhere meanwhile: hook and daemon go on together, and nobody is denied."""

    def stand_still(daemon: object, link: socket.socket) -> None:
        read_frame(link)
        pid = peer_pid(link)
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: state(pid) == "T", what="the hook to stand still")
        until = time.monotonic() + 2.5
        wait_for(lambda: time.monotonic() > until, what="the end of the hook's deadline")
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: state(pid) != "T", what="the hook to go on")
        link.sendall(frame(("outcome", "line"), ("line", LINE)))

    with hook.serving(stand_still):
        done = hook.run("principals", *OPTIONS)
    assert (done.returncode, done.stdout, done.stderr) == (0, LINE.encode() + b"\n", b"")


def peer_pid(link: socket.socket) -> int:
    """The process at the other end of a Unix connection."""
    pid: int = struct.unpack("iII", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid


def test_connection_dropped_by_a_restarting_daemon_is_tried_once_more(hook: Hook) -> None:
    """The second answer counts."""
    with hook.serving(drop, GOOD) as daemon:
        done = hook.run("principals", *OPTIONS)
        assert daemon.connections == 2
    assert done.stdout == LINE.encode() + b"\n"


def test_connection_dropped_within_an_answer_is_tried_once_more(hook: Hook) -> None:
    """Half a frame is no answer."""
    with hook.serving(send(frame(("outcome", "line"), ("line", "mallory"))[:-4]), GOOD):
        done = hook.run("principals", *OPTIONS)
    assert done.stdout == LINE.encode() + b"\n"


def test_connection_dropped_twice_denies(hook: Hook) -> None:
    """There is no third try."""
    with hook.serving(drop, drop, GOOD) as daemon:
        denied(hook)
        assert daemon.connections == 2


def test_full_backlog_is_waited_out(hook: Hook) -> None:
    """In a storm of logins the kernel turns connections away at once; the hook comes again."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(hook.socket))
    listener.listen(0)
    crowd = []
    with pytest.raises(BlockingIOError):
        while True:
            crowd.append(socket.socket(socket.AF_UNIX))
            crowd[-1].setblocking(False)
            crowd[-1].connect(str(hook.socket))

    def serve() -> None:
        while True:
            link, _ = listener.accept()
            with link:
                if read_frame(link):
                    link.sendall(frame(("outcome", "line"), ("line", LINE)))
                    return

    server = threading.Timer(0.3, serve)
    server.start()
    for link in crowd:
        threading.Timer(0.2, link.close).start()
    done = hook.run("principals", *OPTIONS)
    server.join(30)
    listener.close()
    assert done.stdout == LINE.encode() + b"\n"


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_daemon_one_version_apart_is_understood(hook: Hook, version: str) -> None:
    """With keys that this hook does not know, too."""
    with hook.serving(answer(("outcome", "line"), ("new-key", "x"), ("line", LINE), version=version)):
        assert hook.run("principals", *OPTIONS).stdout == LINE.encode() + b"\n"


@pytest.mark.parametrize("version", ["5", "3", "-1", "01", "", "1 ", "x" * 1000])
def test_daemon_further_apart_is_not(hook: Hook, version: str) -> None:
    """Nothing is guessed."""
    with hook.serving(answer(("outcome", "line"), ("line", LINE), version=version)):
        assert "version" in denied(hook)


def body(data: bytes) -> bytes:
    """A frame around bytes."""
    return len(data).to_bytes(4, "big") + data


GOOD_BODY = netstrings([("v", "1"), ("outcome", "line"), ("line", "alice")])


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff" + b"x" * 100,
        b"\x00\x04\x00\x01" + b"x" * 100,
        body(b"x"),
        body(b"1:v"),
        body(b"1:v,"),
        body(b"1:v,1:1"),
        body(b"01:v,1:1," + GOOD_BODY[8:]),
        body(b"-1:v,1:1,"),
        body(b"999999:v,"),
        body(b"\xb2:vv,1:1,"),
        body(GOOD_BODY[:-1] + b";"),
        body(GOOD_BODY + b"4:more,"),
        body(GOOD_BODY[8:]),
        body(GOOD_BODY) + b"x",
        frame(("line", "alice")),
        frame(("outcome", "line")),
        frame(("outcome", "line"), ("line", "alice"), ("line", "mallory")),
        frame(("outcome", "line"), ("outcome", "deny"), ("line", "alice")),
        frame(("outcome", "exec"), ("argv", "/bin/sh")),
        frame(("outcome", "\xff")),
    ],
    ids=lambda data: repr(data[:24]),
)
def test_garbage_denies(hook: Hook, data: bytes) -> None:
    """Anything but one whole, well-formed answer to principals is a denial, and the log holds none of it."""
    with hook.serving(send(data)):
        line = denied(hook)
    assert "the daemon's answer: " in line
    assert "mallory" not in line


@pytest.mark.parametrize(
    "line",
    ["alice", "restrict alice", "auth0|alice+x-1_2.3:4@x", 'restrict,permitopen="[::1]:1",permitopen="gw:65535" a'],
)
def test_lines_of_the_grammar_are_printed(line: str) -> None:
    """A principal alone, or after the options that hoopjump uses."""
    assert well_formed(line.encode())


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        " alice",
        "restrict ",
        "restrict  alice",
        "restrict\talice",
        "alice\n",
        "alice\nmallory",
        "alice\r",
        "alice#",
        "alice\0",
        "ali\x1bce",
        "alice,bob",
        '"alice"',
        "al\u00edce",
        "*",
        "a b alice",
        'command="id" alice',
        'restrict,command="id" alice',
        'environment="LD_PRELOAD=x" alice',
        "restrict,agent-forwarding alice",
        "no-pty alice",
        "cert-authority alice",
        "restrict, alice",
        ",restrict alice",
        "restrict,,pty alice",
        "RESTRICT alice",
        'permitopen="gw:1 alice',
        "permitopen=gw:1 alice",
        'permitopen="gw" alice',
        'permitopen=":1" alice',
        'permitopen="gw:0" alice',
        'permitopen="gw:65536" alice',
        'permitopen="gw:*" alice',
        'permitopen="*:1" alice',
        'permitopen="gw:+1" alice',
        'permitopen="gw:\u0661" alice',
        'permitopen="g#w:1" alice',
        'permitopen="g\\"w:1" alice',
        'permitopen="gw:1",command="gw:1" alice',
        'permitopen="gw:1"x alice',
        'permitopen=" alice',
        "a" * (LINE_LIMIT + 1),
    ],
)
def test_lines_outside_the_grammar_are_not_printed(line: str) -> None:
    """What could be an option, a second line or a second principal never reaches sshd."""
    assert not well_formed(line.encode())


@pytest.mark.parametrize("line", ["alice\nroot", 'command="id" alice'])
def test_daemon_cannot_make_the_hook_print_another_kind_of_line(hook: Hook, line: str) -> None:
    """The grammar is checked before anything is printed, and a refused line is not logged either."""
    step: Step = answer(("outcome", "line"), ("line", line))
    with hook.serving(step):
        assert line not in denied(hook)


def test_certificate_too_long_for_a_question_denies(hook: Hook) -> None:
    """The bound of a frame holds for the hook's own questions."""
    long = [f"--{name}={'A' * 100000}" for name in ("key-id", "ca", "cert")]
    done = hook.run("principals", "--user=hoop", *long)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert "a question of 300" in hook.logged()[0]


def test_stuck_log_does_not_hold_up_a_denial(hook: Hook) -> None:
    """A log that takes no more lines is passed over."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.setblocking(False)
        filler.connect(str(hook.directory / "log"))
        with pytest.raises(BlockingIOError):
            while True:
                filler.send(b"x")
        done = hook.run("principals", *OPTIONS)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_fault_of_our_own_denies_without_traceback(hook: Hook) -> None:
    """Even a bug is silence, exit 0, and a log line that says where, not what."""
    source = hook.file.read_text()
    hook.file.write_text(source.replace("not well_formed(line)", 'open(b"/" + options["cert"])'))
    with hook.serving(GOOD):
        assert "in principals of the hook" in denied(hook)
