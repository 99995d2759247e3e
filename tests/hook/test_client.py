"""The gateway's own client between two spools: what it says is told from what the command wrote."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from hoopjump.hook import ClientStream, Stream
from tests.hook.conftest import Hook, program, spool
from tests.hook.fake_daemon import FakeDaemon, Step, answer, frame, read_frame, run

PR_GET_DUMPABLE = 3
CANCELED = "rpc error: code = Canceled desc = context canceled"
UNKNOWN = "rpc error: code = Unknown desc = "
UNAVAILABLE = "rpc error: code = Unavailable desc = error reading from server: EOF"


def text_spool(stdin: str = "auto") -> Step:
    """The answer that has text gathered."""
    numbers = (("stdin-wait-ms", "300"), ("stdin-hint-ms", "3000"), ("stdin-limit", "100000"))
    return answer(("outcome", "spool"), ("stdin", stdin), *numbers, ("input", "text"))


def client(script: str, *more: tuple[str, str]) -> Step:
    """The answer that has a client run."""
    words = [("argv", word) for word in ("/bin/sh", "-c", script)]
    return run(*words, ("env", "PATH=/usr/bin:/bin"), ("output-buffer", "1000000"), ("client", "hoop"), *more)


def remark(text: str) -> str:
    """How a shell says something in the client's way."""
    return rf"printf '\033[;m{text}\033[0m\n'"


@pytest.mark.parametrize(
    ("script", "status", "told", "out", "err"),
    [
        (f"printf out; {remark('exit status 3')} >&2; exit 3", 3, 3, b"out", b""),
        (f"printf err >&2; {remark('it failed, exit status 1')} >&2; exit 1", 1, 1, b"", b"err"),
        (f"{remark('exit status 4')} >&2; exit 3", 3, 3, b"", b"hoop: exit status 4\n"),
        (f"printf out; {remark('no such role')}; exit 1", 1, 1, b"out", b"hoop: no such role\n"),
        (f"echo out; {remark('two')}; {remark('exit status 1')} >&2; exit 1", 1, 1, b"out\n\x1b[;mtwo\x1b[0m\n", b""),
        (f"{remark('output')}; exit 0", 0, 0, b"\x1b[;moutput\x1b[0m\n", b""),
        (f"{remark('forged')} >&2; exit 0", 0, 0, b"", b"\x1b[;mforged\x1b[0m\n"),
        (r"printf 'a\033[;'; exit 0", 0, 0, b"a\x1b[;", b""),
        (r"printf '\033[;mhalf'; exit 1", 1, 1, b"\x1b[;mhalf", b""),
        (f"echo whole; {remark(CANCELED)}; exit 1", 255, 255, b"whole\n", b""),
        (f"echo whole; {remark('EOF')}; exit 1", 255, 255, b"whole\n", b""),
        (f"echo out; {remark(UNKNOWN + 'it failed, exit status 3')}; exit 1", 3, 3, b"out\n", b""),
        (f"echo out; {remark(UNKNOWN + 'killed')}; exit 1", 255, 255, b"out\n", f"hoop: {UNKNOWN}killed\n".encode()),
        (f"echo out; {remark(UNAVAILABLE)}; exit 1", 255, 255, b"out\n", f"hoop: {UNAVAILABLE}\n".encode()),
    ],
)
def test_remarks_are_the_clients_and_all_else_the_commands(
    hook: Hook, script: str, status: int, told: int, out: bytes, err: bytes
) -> None:
    """Errors come on stderr whatever it was printed on; a status that was not read is told as lost."""
    with hook.serving(text_spool("none"), client(script)) as daemon:
        done = hook.run("session")
    assert dict(daemon.questions[-1])["exit"] == b"%d" % told
    assert (done.returncode, done.stdout) == (status, out)
    assert done.stderr == err
    # Of a connection that was cut, what came need not be all.
    assert ("broken" in dict(daemon.questions[-1])) == (UNAVAILABLE in script)


def test_controls_in_an_error_never_reach_the_terminal(hook: Hook) -> None:
    """It may hold what the gateway, or who named a role, put there."""
    with hook.serving(text_spool("none"), client(f"{remark('bad' + chr(92) + '033]0;title' + chr(92) + 'a')}; exit 1")):
        done = hook.run("session")
    assert done.stderr == b"hoop: bad?]0;title?\n"


def test_output_is_passed_on_before_the_end(hook: Hook, directory: Path) -> None:
    """Only what may become a remark is held back."""
    go = directory / "go"
    with hook.serving(text_spool("none"), client(f"echo first; until [ -e {go} ]; do sleep 0.02; done; echo second")):
        session = hook.start()
        assert session.stdout is not None
        assert session.stdout.readline() == b"first\n"
        go.touch()
        assert session.communicate(timeout=60) == (b"second\n", b"")
        assert session.returncode == 0


def test_a_remark_that_comes_while_output_is_passed_on_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever moment the client chooses to say it: here, between the hook's look at the size and all that follows."""
    reader, writer = os.pipe()
    stream = ClientStream(writer)
    os.write(stream.entry, b"output\n")
    size = Stream.size

    def grows(self: Stream) -> int:
        found = size(self)
        if found == len(b"output\n"):
            os.write(self.entry, b"\033[;msorry\033[0m\n")
        return found

    monkeypatch.setattr(Stream, "size", grows)
    try:
        stream.relay(ended=False)
        stream.relay(ended=False)
        assert os.read(reader, 1000) == b"output\n"
        assert stream.remark() == b"\033[;msorry\033[0m\n"
    finally:
        for descriptor in (reader, writer, stream.entry, stream.file):
            os.close(descriptor)


@pytest.mark.parametrize(("piped", "seen"), [(b"input\n", b"ls -l\ninput\n"), (b"", b"ls -l\n")])
def test_the_command_goes_before_the_input(hook: Hook, piped: bytes, seen: bytes) -> None:
    """In one file, whose end is the end of both."""
    with hook.serving(text_spool(), client("cat", ("preamble", "ls -l\n"))):
        assert hook.run("session", input=piped).stdout == seen


@pytest.mark.parametrize("data", [b"\xff", b"a\0b", b"\xed\xa0\x80"])
def test_input_that_is_no_text_runs_nothing(hook: Hook, mark: Path, data: bytes) -> None:
    """The daemon is not even asked again."""
    with hook.serving(text_spool(), client(f"touch {mark}")) as daemon:
        done = hook.run("session", input=data)
        assert daemon.connections == 1
    assert done.returncode == os.EX_DATAERR
    assert b"(input-not-text, ref " in done.stderr
    assert not mark.exists()


def test_other_clients_take_any_input(hook: Hook) -> None:
    """Ssh does."""
    with hook.serving(spool(), program("/bin/cat")):
        assert hook.run("session", input=b"\xff\0").stdout == b"\xff\0"


@pytest.mark.parametrize("most", [0, 4096])
def test_a_hook_with_a_token_cannot_be_looked_into(hook: Hook, most: int) -> None:
    """It says so to the daemon, which hands nothing on otherwise; what it starts says again for itself."""
    show = f"import ctypes, resource; print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}, 0, 0, 0, 0), "
    show += "resource.getrlimit(resource.RLIMIT_CORE))"
    words = [("argv", word) for word in ("/usr/bin/python3", "-c", show)]
    with hook.serving(spool("none"), run(*words, ("env", "A=B"), ("output-buffer", "100"))) as daemon:
        limit = resource.RLIMIT_CORE, (0, most)
        done = hook.run("session", env={"HOOPJUMP_TOKEN": "t"}, preexec_fn=lambda: resource.setrlimit(*limit))
    assert all(("concealed", b"1") in question for question in daemon.questions[:2])
    # Whoever makes the client crash gets no core of it, not by a handler of cores either (core(5): a limit of 1), and
    # a hard limit stays.
    assert done.stdout == (b"1 (1, 1)\n" if most else b"1 (0, 0)\n")


def test_a_hook_without_a_token_says_nothing_of_it(hook: Hook) -> None:
    """Nothing is spent on those who need none."""
    with hook.serving(answer(("outcome", "refuse"), ("exit", "1"))) as daemon:
        hook.run("session")
    assert "concealed" not in dict(daemon.questions[0])


def test_the_environment_of_a_hook_with_a_token_is_closed_to_its_own_uid(hook: Hook, directory: Path) -> None:
    """The attack: another process of a shared account reads /proc, while the daemon thinks."""
    other: dict[str, Any] = {}
    if os.geteuid() == 0:  # who could look all the same
        directory.chmod(0o755)
        other = {"user": 65534, "group": 65534, "extra_groups": []}
    asked: Queue[int] = Queue()

    def step(_: FakeDaemon, link: socket.socket) -> None:
        assert read_frame(link) is not None
        asked.put(0)
        asked.join()
        link.sendall(frame(("outcome", "refuse"), ("exit", "7")))

    with hook.serving(step):
        hook.socket.chmod(0o666)
        argv = hook.argv("session")
        session = subprocess.Popen(argv, env={"HOOPJUMP_TOKEN": "secret"}, stdin=subprocess.DEVNULL, **other)
        asked.get(timeout=60)
        read = f"print(open('/proc/{session.pid}/environ').read())"
        thief = subprocess.run(["/usr/bin/python3", "-c", read], capture_output=True, check=False, timeout=60, **other)
        asked.task_done()
        assert session.wait(60) == 7
    assert b"secret" not in thief.stdout
    assert b"PermissionError" in thief.stderr
