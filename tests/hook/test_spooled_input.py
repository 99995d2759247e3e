"""Input is gathered whole before a program runs, and half an input never runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hoopjump.decision.reasons import Reason
from hoopjump.dev.services import wait_for
from tests.hook.conftest import Hook, pid_in, program, spool
from tests.hook.fake_daemon import FakeDaemon


@pytest.mark.parametrize("stdin", ["auto", "wait"])
@pytest.mark.parametrize("data", [b"", b"x", b"\0\xff\n" * 350000], ids=["none", "a byte", "a megabyte"])
def test_input_that_ends_is_passed_whole(hook: Hook, stdin: str, data: bytes) -> None:
    """To the byte, binary, whatever its size; and its program's output and status come back."""
    with hook.serving(spool(stdin), program("/bin/sh", "-c", "cat; echo done >&2; exit 7")) as daemon:
        done = hook.run("session", input=data)
    assert (done.returncode, done.stdout, done.stderr) == (7, data, b"done\n")
    assert [dict(question).get("stage") for question in daemon.questions] == [b"plan", b"run", None]


def test_input_is_a_file_that_is_closed_when_empty(hook: Hook) -> None:
    """No input is /dev/null: the gateway need not wait for its end."""
    with hook.serving(spool(), program("/bin/readlink", "/proc/self/fd/0")):
        assert hook.run("session", input=b"").stdout == b"/dev/null\n"


def test_spooled_program_gets_nothing_of_ours(hook: Hook) -> None:
    """Three descriptors, and the environment exactly as told."""
    with hook.serving(spool(), program("/bin/sh", "-c", "ls /proc/self/fd; env | grep -v ^PWD=")):
        done = hook.run("session", input=b"", env={"HOOPJUMP_X": "1"})
    assert done.stdout.split() == [b"0", b"1", b"2", b"3", b"PATH=/usr/bin:/bin"]  # 3 is what ls reads


def test_input_that_neither_begins_nor_ends_is_closed(hook: Hook) -> None:
    """Somebody typing a command at a terminal: the command runs without input."""
    with hook.serving(spool("auto", wait=50), program("/bin/sh", "-c", "cat; echo ran")):
        session = hook.start()
        assert session.stdout is not None
        assert session.stdout.read() == b"ran\n"
        assert session.wait(30) == 0
        session.communicate()


def test_input_that_begins_in_time_is_gathered_to_its_end(hook: Hook) -> None:
    """With a first byte there, the rest may take its time."""
    with hook.serving(spool("auto", wait=2000, hint=100), program("/bin/cat")) as daemon:
        session = hook.start()
        assert session.stdin is not None
        assert session.stderr is not None
        session.stdin.write(b"one ")
        session.stdin.flush()
        hint = session.stderr.readline()
        assert len(daemon.questions) == 1
        out, rest = session.communicate(b"two", timeout=30)
    assert (out, rest) == (b"one two", b"")
    assert hint.startswith(b"hoopjump: waiting for the end of the input")


def test_input_of_a_session_without_command_is_waited_for_with_a_hint(hook: Hook) -> None:
    """In mode wait an input that does not begin is waited for, and the user is told once."""
    with hook.serving(spool("wait", wait=1, hint=1), program("/bin/cat")):
        session = hook.start()
        assert session.stderr is not None
        hint = session.stderr.readline()
        out, rest = session.communicate(b"late", timeout=30)
    assert hint.startswith(b"hoopjump: waiting for the end of the input")
    assert (out, rest) == (b"late", b"")


def test_mode_none_closes_the_input_at_once(hook: Hook) -> None:
    """What stands in it is not read."""
    with hook.serving(spool("none"), program("/bin/sh", "-c", "cat; echo ran")):
        session = hook.start()
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(b"unread")
        session.stdin.flush()
        assert session.stdout.read() == b"ran\n"
        assert session.wait(30) == 0
        session.communicate()


@pytest.mark.parametrize("size", [1000, 1001, 300000])
def test_input_above_the_bound_is_refused_before_anything_is_sent(hook: Hook, size: int) -> None:
    """The bound itself is allowed; a byte more is a clear refusal, and the daemon is not asked for a program."""
    with hook.serving(spool(limit=1000), program("/bin/cat")) as daemon:
        done = hook.run("session", input=b"x" * size)
    if size == 1000:
        assert (done.returncode, len(done.stdout)) == (0, 1000)
        return
    assert done.returncode == Reason.INPUT_TOO_LARGE.value.exit_status
    assert f"hoopjump: {Reason.INPUT_TOO_LARGE.sentence(limit='1000')} (input-too-large, ref ".encode() in done.stderr
    assert (done.stdout, len(daemon.questions)) == (b"", 1)


def late(hook: Hook, mark: Path, ends: bool) -> tuple[int, bytes]:
    """A session whose input comes after the start; its status and what it said."""
    go_on = mark.with_name("go-on")
    script = f"echo $$ > {mark}; while ! test -e {go_on}; do sleep 0.01; done; echo ran; exit 3"
    with hook.serving(spool("auto", wait=20), program("/bin/sh", "-c", script)):
        session = hook.start()
        assert session.stdin is not None
        assert session.stdout is not None
        assert session.stderr is not None
        pid_in(mark)
        session.stdin.write(b"drop table x;\n" * 1000)
        session.stdin.flush()
        said = session.stderr.readline()
        if ends:
            session.stdin.close()
        go_on.touch()
        assert session.stdout.read() == b"ran\n"
        assert session.stderr.read() == b""
        status = session.wait(30)
        session.stdin.close()
    return status, said


def test_late_input_that_ends_turns_the_status_into_65(hook: Hook, mark: Path) -> None:
    """A pipe that was too late: no script may take the job for done."""
    status, said = late(hook, mark, ends=True)
    assert said.startswith(b"hoopjump: input came after the command had started; it was not passed on")
    assert status == 65


def test_late_input_that_goes_on_leaves_the_status_alone(hook: Hook, mark: Path) -> None:
    """Somebody types ahead: told, but the job counts."""
    status, said = late(hook, mark, ends=False)
    assert said.startswith(b"hoopjump: input came after the command had started")
    assert status == 3


def pipes() -> tuple[int, int, int, int]:
    """What sshd gives a session: its ends for stdin and stdout, and ours (written to and read from)."""
    stdin, feed = os.pipe2(os.O_CLOEXEC)
    drain, stdout = os.pipe2(os.O_CLOEXEC)
    return stdin, stdout, feed, drain


def sockets() -> tuple[int, int, int, int]:
    """The same, as an sshd built to use one socket pair."""
    theirs, ours = socket.socketpair()
    stdin, feed = theirs.detach(), ours.detach()
    return stdin, os.dup(stdin), feed, os.dup(feed)


@pytest.mark.parametrize("channel", [pipes, sockets])
def test_client_that_dies_in_mid_upload_runs_nothing(
    hook: Hook, mark: Path, channel: Callable[[], tuple[int, int, int, int]]
) -> None:
    """The end of input with nobody at stdout any more is no end; half a script never runs."""
    stdin, stdout, feed, drain = channel()
    with hook.serving(spool("wait"), program("/usr/bin/touch", mark)) as daemon:
        session = hook.start(stdin=stdin, stdout=stdout)
        for descriptor in (stdin, stdout):
            os.close(descriptor)
        os.write(feed, b"delete from accounts\n")
        wait_for(lambda: daemon.questions)
        for descriptor in (feed, drain):
            os.close(descriptor)
        assert session.wait(30) == 75
        session.communicate()
    assert len(daemon.questions) == 1
    assert not mark.exists()
    assert "the client left during its input" in hook.logged()[0]


@pytest.mark.parametrize("channel", [pipes, sockets])
def test_client_that_ends_its_input_and_stays_is_served(
    hook: Hook, channel: Callable[[], tuple[int, int, int, int]]
) -> None:
    """The counterpart, with the same channels."""
    stdin, stdout, feed, drain = channel()
    with hook.serving(spool("wait"), program("/bin/cat")):
        session = hook.start(stdin=stdin, stdout=stdout)
        for descriptor in (stdin, stdout):
            os.close(descriptor)
        os.write(feed, b"select 1;\n")
        if channel is sockets:
            with socket.socket(fileno=os.dup(feed)) as half:
                half.shutdown(socket.SHUT_WR)
        else:
            os.close(feed)
        assert os.read(drain, 100) == b"select 1;\n"
        assert session.wait(30) == 0
        session.communicate()


@pytest.mark.parametrize("early", [False, True], ids=["during the input", "while the daemon thinks"])
@pytest.mark.parametrize("generations", [1, 2])
def test_input_that_ends_because_sshd_dies_runs_nothing(hook: Hook, mark: Path, generations: int, early: bool) -> None:
    """Even with a reader at stdout: the process above, or the one above that, has ended."""
    asked, go_on = threading.Event(), threading.Event()
    answered = spool("wait")

    def step(daemon: FakeDaemon, link: socket.socket) -> None:
        asked.set()
        go_on.wait(30)
        answered(daemon, link)

    script = """
import os, subprocess, sys, time
ready, generations, argv = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
if generations > 1:  # one more process between, which lives on and holds nothing
    argv = ["/bin/sh", "-c", '"$@"; exit', "sh"] + argv
session = subprocess.Popen(argv, stdin=subprocess.PIPE, env={})
os.write(session.stdin.fileno(), b"delete from accounts")
open(ready, "w").write(str(os.getpid()))
time.sleep(60)
"""
    ready = mark.with_name("ready")
    drain, stdout = os.pipe2(os.O_CLOEXEC)
    with hook.serving(step, program("/usr/bin/touch", mark)) as daemon:
        argv = [sys.executable, "-c", script, str(ready), str(generations), *hook.argv("session")]
        above = subprocess.Popen(argv, stdout=stdout, stderr=subprocess.DEVNULL)
        os.close(stdout)
        pid_in(ready)
        assert asked.wait(30)
        if not early:
            go_on.set()
            wait_for(lambda: daemon.questions)
        above.kill()
        above.wait()
        go_on.set()
        assert os.read(drain, 100) == b""  # the hook, its last holder, has ended
    os.close(drain)
    assert len(daemon.questions) == 1
    assert not mark.exists()
