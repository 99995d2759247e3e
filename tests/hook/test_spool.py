"""Sessions between two spools: the input gathered whole, the output passed on whole, and nothing left running."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from hoopjump.decision.reasons import Reason
from tests.hook.conftest import Hook, gone, program, spool, state, wait_for

MB = 1 << 20

# A program that tells its pid, and then writes as many MB of the same noise as it is asked for.
NOISE = """
import os, sys
noise = b"".join(b"%08d\\n" % n for n in range(200000))[:1 << 20]
open(sys.argv[2], "w").write(str(os.getpid()))
for _ in range(int(sys.argv[1])):
    left = noise
    while left:
        left = left[os.write(1, left):]
"""


def noise(megabytes: int) -> bytes:
    """What the program above writes."""
    return b"".join(b"%08d\n" % n for n in range(200000))[:MB] * megabytes


def pid_in(file: Path) -> int:
    """The pid that a program has left in a file."""
    return int(wait_for(lambda: file.exists() and file.read_text()))


@pytest.fixture
def mark(directory: Path) -> Path:
    """A file by which a program shows that it has run."""
    return directory / "mark"


# -- Input


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


# -- A client that dies in mid-upload


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


@pytest.mark.parametrize("generations", [1, 2])
def test_input_that_ends_because_sshd_dies_runs_nothing(hook: Hook, mark: Path, generations: int) -> None:
    """Even with a reader at stdout: the process above, or the one above that, has ended."""
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
    with hook.serving(spool("wait"), program("/usr/bin/touch", mark)) as daemon:
        argv = [sys.executable, "-c", script, str(ready), str(generations), *hook.argv("session")]
        above = subprocess.Popen(argv, stdout=stdout, stderr=subprocess.DEVNULL)
        os.close(stdout)
        pid_in(ready)
        wait_for(lambda: daemon.questions)
        above.kill()
        above.wait()
        assert os.read(drain, 100) == b""  # the hook, its last holder, has ended
    os.close(drain)
    assert len(daemon.questions) == 1
    assert not mark.exists()


# -- Output


@pytest.mark.parametrize("status", [0, 1, 255])
def test_status_is_told_and_the_answer_exited_with(hook: Hook, status: int) -> None:
    """The daemon may know better than ssh."""
    told = [("outcome", "exit"), ("exit", "9"), ("text", "the status was 9")]
    with hook.serving(spool("none"), program("/bin/sh", "-c", f"exit {status}", reply=told)) as daemon:  # type: ignore[arg-type]
        done = hook.run("session")
    assert daemon.questions[-1] == [("v", b"1"), ("verb", b"status"), ("exit", str(status).encode())]
    assert (done.returncode, done.stderr) == (9, b"the status was 9\n")


def test_program_ended_by_a_signal_is_told_as_shells_do(hook: Hook) -> None:
    """128 and the signal's number."""
    with hook.serving(spool("none"), program("/bin/sh", "-c", "kill -9 $$")):
        assert hook.run("session").returncode == 137


@pytest.mark.parametrize("reply", [[("outcome", "ok")], [("outcome", "exit"), ("exit", "1000")]])
def test_status_stands_when_the_daemon_answers_nonsense(hook: Hook, reply: list[tuple[str, bytes | str]]) -> None:
    """The program's own status is the next best."""
    with hook.serving(spool("none"), program("/bin/sh", "-c", "echo out; exit 5", reply=reply)):
        done = hook.run("session")
    assert (done.returncode, done.stdout, done.stderr) == (5, b"out\n", b"")


def test_status_stands_when_the_daemon_has_gone(hook: Hook, mark: Path) -> None:
    """A daemon that is restarted while a session runs does not touch it."""
    script = f"echo $$ > {mark}; while test -e {mark}; do sleep 0.01; done; echo out; exit 5"

    def leave(daemon: object, link: socket.socket) -> None:
        from tests.hook.fake_daemon import frame, read_frame

        read_frame(link)
        argv = [("argv", word) for word in ("/bin/sh", "-c", script)]
        link.sendall(frame(("outcome", "run"), *argv, ("env", "PATH=/bin:/usr/bin"), ("output-buffer", "1000000")))

    with hook.serving(spool("none"), leave):
        session = hook.start()
        pid_in(mark)
    mark.unlink()
    out, error = session.communicate(timeout=30)
    assert (session.returncode, out, error) == (5, b"out\n", b"")
    assert "the daemon did not take the status 5" in hook.logged()[0]


def test_output_arrives_while_the_program_runs(hook: Hook, mark: Path) -> None:
    """Both streams, apart, before there is an end."""
    script = f"echo out; echo err >&2; while ! test -e {mark}; do sleep 0.01; done"
    with hook.serving(spool("none"), program("/bin/sh", "-c", script)):
        session = hook.start()
        assert session.stdout is not None
        assert session.stderr is not None
        assert session.stdout.readline() == b"out\n"
        assert session.stderr.readline() == b"err\n"
        mark.touch()
        session.communicate(timeout=30)
    assert session.returncode == 0


def held_by(pid: int) -> int:
    """Bytes that a process's unlinked files take."""
    held = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        if "memfd:hoopjump" in str(entry.readlink()) or "(deleted)" in str(entry.readlink()):
            held = max(held, entry.stat().st_blocks * 512)
    return held


def without_ctypes(source: str) -> str:
    """The hook as python3-minimal runs it."""
    changed = source.replace("        import ctypes\n\n", "        raise ImportError\n\n")
    assert changed != source
    return changed


@pytest.fixture(params=["hole punching", "without ctypes"])
def either_hook(request: pytest.FixtureRequest, directory: Path) -> Iterator[Hook]:
    """The hook with both of its ways to give space back."""
    made = Hook(directory, without_ctypes if request.param == "without ctypes" else str)
    yield made
    made.log.close()


def test_slow_reader_stops_the_program_and_gets_every_byte(either_hook: Hook, mark: Path) -> None:
    """50 MB past a buffer of 1 MB: the program waits for the reader, and the space behind the reader is given back."""
    argv = (sys.executable, "-ISc", NOISE, "50", mark)
    with either_hook.serving(spool("none"), program(*argv, buffer=MB)):
        session = either_hook.start()
        assert session.stdout is not None
        child = pid_in(mark)
        wait_for(lambda: state(child) == "T")
        assert held_by(session.pid) < 50 * MB
        got = hashlib.sha256()
        size = 0
        while size < 49 * MB:
            data = session.stdout.read(MB)
            size += len(data)
            got.update(data)
        wait_for(lambda: held_by(session.pid) <= 8 * MB)
        got.update(session.stdout.read())
        session.communicate()
    assert session.returncode == 0
    assert got.hexdigest() == hashlib.sha256(noise(50)).hexdigest()


def test_fast_output_of_both_streams_is_passed_on_to_the_byte(hook: Hook, mark: Path) -> None:
    """50 MB on stdout while stderr gets its own."""
    script = f'{sys.executable} -ISc "$1" 50 {mark} & {sys.executable} -ISc "$1" 20 {mark} >&2; wait'
    with hook.serving(spool("none"), program("/bin/sh", "-c", script, "sh", NOISE)):
        done = hook.run("session")
    assert done.returncode == 0
    assert done.stdout == noise(50)
    assert done.stderr == noise(20)


def test_every_byte_is_out_before_the_status(hook: Hook, mark: Path) -> None:
    """The program has long ended; the session ends when its reader has everything."""
    with hook.serving(spool("none"), program(sys.executable, "-ISc", NOISE, "5", mark)) as daemon:
        session = hook.start()
        assert session.stdout is not None
        child = pid_in(mark)
        wait_for(lambda: gone(child))
        assert session.poll() is None
        assert session.stdout.read() == noise(5)
        assert session.wait(30) == 0
        session.communicate()
    assert dict(daemon.questions[-1])["exit"] == b"0"


# -- The end


STUBBORN = "trap '' TERM HUP INT; echo $$ > {}; while :; do sleep 0.05; done"


@pytest.mark.parametrize("script", ["echo $$ > {}; exec sleep 60", STUBBORN], ids=["willing", "stubborn"])
def test_client_that_goes_away_ends_the_program(hook: Hook, mark: Path, script: str) -> None:
    """A program that says nothing is ended too, with SIGKILL if need be."""
    with hook.serving(spool("none"), program("/bin/sh", "-c", script.format(mark))):
        session = hook.start()
        assert session.stdout is not None
        child = pid_in(mark)
        session.stdout.close()
        wait_for(lambda: gone(child))
        session.wait(30)
        session.stdout = None
        session.communicate()


def test_client_that_goes_away_ends_a_stopped_program(hook: Hook, mark: Path) -> None:
    """A program stopped for a slow client does not survive that client."""
    with hook.serving(spool("none"), program(sys.executable, "-ISc", NOISE, "500", mark, buffer=MB)):
        session = hook.start()
        assert session.stdout is not None
        child = pid_in(mark)
        wait_for(lambda: state(child) == "T")
        session.stdout.close()
        wait_for(lambda: gone(child))
        session.wait(30)
        session.stdout = None
        session.communicate()


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_hook_that_is_killed_takes_the_program_along(hook: Hook, mark: Path, stopped: bool) -> None:
    """SIGKILL cannot be handled; the kernel ends the program (PR_SET_PDEATHSIG)."""
    argv = (sys.executable, "-ISc", NOISE, "500" if stopped else "0", mark)
    if not stopped:
        argv = ("/bin/sh", "-c", STUBBORN.format(mark))  # type: ignore[assignment]
    with hook.serving(spool("none"), program(*argv, buffer=MB)):
        session = hook.start()
        child = pid_in(mark)
        if stopped:
            wait_for(lambda: state(child) == "T")
        session.kill()
        wait_for(lambda: gone(child))
        session.communicate()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_hook_ends_the_program(hook: Hook, mark: Path, number: signal.Signals) -> None:
    """And is the session's status, in the shells' way."""
    with hook.serving(spool("none"), program("/bin/sh", "-c", f"echo $$ > {mark}; exec sleep 60")) as daemon:
        session = hook.start()
        child = pid_in(mark)
        session.send_signal(number)
        assert session.wait(30) == 128 + number
        assert gone(child)
        session.communicate()
    assert dict(daemon.questions[-1])["exit"] == str(128 + number).encode()


def test_interrupt_on_a_terminal_ends_the_job(hook: Hook, mark: Path) -> None:
    """Ctrl-C typed at a command that runs spooled on a terminal."""
    script = f"echo begun; echo $$ > {mark}; exec sleep 60"
    with hook.serving(spool("auto", wait=50), program("/bin/sh", "-c", script)):
        terminal = pexpect.spawn(hook.argv("session")[0], hook.argv("session")[1:], env={}, timeout=30)
        terminal.expect_exact("begun\r\n")
        child = pid_in(mark)
        terminal.sendintr()
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 130
    assert gone(child)


def test_terminal_that_is_closed_ends_the_job(hook: Hook, mark: Path) -> None:
    """A hang-up: nothing is left running."""
    script = STUBBORN.format(mark)
    with hook.serving(spool("auto", wait=50), program("/bin/sh", "-c", script)):
        terminal = pexpect.spawn(hook.argv("session")[0], hook.argv("session")[1:], env={}, timeout=30)
        child = pid_in(mark)
        terminal.close()
        wait_for(lambda: gone(child))


def test_input_typed_on_a_terminal_ends_with_control_d(hook: Hook) -> None:
    """No command: what is typed is the input."""
    with hook.serving(spool("wait", hint=1), program("/bin/sh", "-c", "cat | tr a-z A-Z")):
        terminal = pexpect.spawn(hook.argv("session")[0], hook.argv("session")[1:], env={}, timeout=30, echo=False)
        terminal.expect_exact("waiting for the end of the input")
        terminal.sendline("select 1;")
        terminal.sendeof()
        terminal.expect_exact("SELECT 1;")
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 0


def test_line_typed_ahead_on_a_terminal_leaves_the_status_alone(hook: Hook, mark: Path) -> None:
    """Ctrl-D on a terminal is no end of a pipe."""
    script = f"echo $$ > {mark}; while test -e {mark}; do sleep 0.01; done; exit 3"
    with hook.serving(spool("auto", wait=50), program("/bin/sh", "-c", script)):
        terminal = pexpect.spawn(hook.argv("session")[0], hook.argv("session")[1:], env={}, timeout=30)
        pid_in(mark)
        terminal.sendline("ls")
        terminal.sendeof()
        terminal.expect_exact("input came after the command had started")
        mark.unlink()
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 3
