"""Output is passed on as it grows, to the last byte, at the reader's speed."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hoopjump.dev.services import wait_for
from tests.hook.conftest import MB, NOISE, Hook, gone, pid_in, program, spool, state
from tests.hook.fake_daemon import frame, read_frame


def noise(megabytes: int) -> bytes:
    """What the program above writes."""
    return b"".join(b"%08d\n" % n for n in range(200000))[:MB] * megabytes


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


@pytest.mark.parametrize("without", [False, True], ids=["hole punching", "without ctypes"])
def test_slow_reader_stops_the_program_and_gets_every_byte(directory: Path, mark: Path, without: bool) -> None:
    """50 MB past a buffer of 1 MB: the program waits for the reader, and the space behind the reader is given back."""
    argv = (sys.executable, "-ISc", NOISE, "50", mark, "0.02")
    hook = Hook(directory, without_ctypes if without else str)
    with hook.serving(spool("none"), program(*argv, buffer=MB)):
        session = hook.start()
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
        if not without:  # else a program of which more is kept than the buffer holds goes on once all has been read
            wait_for(lambda: held_by(session.pid) <= 8 * MB)
        got.update(session.stdout.read())
        session.communicate()
    hook.log.close()
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


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"closed.\r\n", ""),
        (r"error\nclosed.\r\n", "error\n"),
        (r"closed.\r\nerror\n", "closed.\r\nerror\n"),
        (r"closed.\r\nclosed.\r\n", "closed.\r\n"),
        (r"errorclosed.\r\n", "error"),
        (r"errorclosed.\r", "errorclosed.\r"),
        (r"clo", "clo"),
        (r"error\nclosed.\r", "error\nclosed.\r"),
        (r"error", "error"),
    ],
)
def test_last_line_of_ssh_itself_is_left_out(hook: Hook, written: str, read: str) -> None:
    """Only the whole of it, only at the very end, and only on stderr; a command need not end its last line."""
    script = f"printf '{written}'; printf '{written}' >&2"
    with hook.serving(spool("none"), program("/bin/sh", "-c", script, epilogue="closed.\r\n")):
        done = hook.run("session")
    assert (done.returncode, done.stderr.decode()) == (0, read)
    assert done.stdout == written.encode().decode("unicode_escape").encode()


@pytest.mark.parametrize(
    ("script", "broken"),
    [
        (r"printf 'closed.\r\n' >&2; exit 255", None),
        (r"printf 'it closed.\r\n' >&2; exit 255", None),
        (r"exit 255", b"1"),
        (r"printf 'closed.\r\nerror\n' >&2; exit 255", b"1"),
        (r"exit 7", None),
    ],
)
def test_an_ssh_that_does_not_take_its_leave_is_told_of(hook: Hook, script: str, broken: bytes | None) -> None:
    """255 without ssh's own last line: the connection broke, and what it brought may not be all."""
    with hook.serving(spool("none"), program("/bin/sh", "-c", script, epilogue="closed.\r\n")) as daemon:
        hook.run("session")
    assert dict(daemon.questions[-1]).get("broken") == broken


def test_begin_of_the_last_line_is_passed_on_once_it_is_none(hook: Hook, mark: Path) -> None:
    """What only looks like it waits for the next byte, not for the end."""
    script = f"printf 'clo' >&2; while test ! -e {mark}; do sleep 0.01; done; printf 'ud' >&2; sleep 1000"
    with hook.serving(spool("none"), program("/bin/sh", "-c", script, epilogue="closed.\r\n")):
        session = hook.start()
        mark.touch()
        assert session.stderr is not None
        assert session.stderr.read(5) == b"cloud"
        session.terminate()
        session.communicate(timeout=30)


def test_a_stopped_program_goes_on_though_its_last_bytes_are_held_back(hook: Hook, mark: Path) -> None:
    """It was stopped at what may be the begin of ssh's last line: that is kept while all before it is given back."""
    script = f"echo $$ > {mark}; head -c 3000000 /dev/zero >&2; printf '\\nclo' >&2; until test -e {mark}.go; "
    script += "do :; done; printf 'ud' >&2"
    with hook.serving(spool("none"), program("/bin/sh", "-c", script, buffer=MB, epilogue="closed.\r\n")):
        session = hook.start()
        child = pid_in(mark)
        wait_for(lambda: state(child) == "T")
        mark.with_name(f"{mark.name}.go").touch()
        _, error = session.communicate(timeout=60)
    assert session.returncode == 0
    assert error == bytes(3000000) + b"\ncloud"


WAITS_IN_VFORK = """
import os, sys
parent = os.getpid()
if not os.fork():
    while open(f"/proc/{parent}/stat").read().rpartition(")")[2].split()[0] != "D":
        pass
    left = bytes(3000000)
    while left:
        left = left[os.write(2, left):]
    os._exit(0)
open(sys.argv[1], "w").write(str(parent))
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[2], os.O_RDONLY, 0)])
os.wait()
os.wait()
print("done")
"""


def test_a_program_that_waits_in_vfork_goes_on_too(hook: Hook, mark: Path) -> None:
    """It is never reported as stopped, for its child stops before it has become a program (vfork(2))."""
    fifo = mark.with_name("fifo")
    os.mkfifo(fifo)
    argv = (sys.executable, "-ISc", WAITS_IN_VFORK, str(mark), str(fifo))
    with hook.serving(spool("none"), program(*argv, buffer=MB)):
        session = hook.start()
        children = Path(f"/proc/{pid_in(mark)}/task/{pid_in(mark)}/children")
        wait_for(lambda: [pid for pid in children.read_text().split() if state(int(pid)) == "T"])
        with subprocess.Popen(["/bin/sh", "-c", f": > {fifo}"]):
            output, _ = session.communicate(timeout=60)
    assert (session.returncode, output) == (0, b"done\n")
