"""The hook as sshd starts it: a file of its own, a minimal environment, a scripted daemon and a log to read."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hoopjump
from hoopjump.dev.services import wait_for
from tests.hook.fake_daemon import FakeDaemon, Step, answer, run, serving

SOURCE = Path(hoopjump.__file__).parent / "hook.py"
SYSTEM_PYTHON = "/usr/bin/python3"
MB = 1 << 20

# A program that tells its pid, and then writes as many MB of the same noise as it is asked for, at the pace asked for.
NOISE = """
import os, sys, time
noise = b"".join(b"%08d\\n" % n for n in range(200000))[:1 << 20]
open(sys.argv[2], "w").write(str(os.getpid()))
for _ in range(int(sys.argv[1])):
    time.sleep(float((sys.argv[3:] or "0")[0]))
    left = noise
    while left:
        left = left[os.write(1, left):]
"""

# A program that only SIGKILL ends.
STUBBORN = "trap '' TERM HUP INT; echo $$ > {}; while :; do sleep 0.05; done"


def gone(pid: int) -> bool:
    """Whether a process has ended (one that nobody has waited for yet has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return True


def state(pid: int) -> str:
    """The state of a process, as ps(1) calls it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def pid_in(file: Path) -> int:
    """The pid that a program has left in a file."""
    return int(wait_for(lambda: file.read_text() if file.exists() else ""))


def spool(stdin: str = "auto", wait: int = 300, hint: int = 3000, limit: int = 8 << 20) -> Step:
    """The daemon's answer that has the input gathered."""
    return answer(
        ("outcome", "spool"),
        ("stdin", stdin),
        ("stdin-wait-ms", str(wait)),
        ("stdin-hint-ms", str(hint)),
        ("stdin-limit", str(limit)),
    )


def program(
    *argv: str | Path, buffer: int = 64 << 20, epilogue: str = "", reply: list[tuple[str, bytes | str]] | None = None
) -> Step:
    """The daemon's answer that has a program run."""
    words = [("argv", str(word)) for word in argv]
    more = [("epilogue", epilogue)] if epilogue else []
    return run(*words, ("env", "PATH=/usr/bin:/bin"), ("output-buffer", str(buffer)), *more, reply=reply)


class Hook:
    """A copy of the hook whose log is ours, and a directory with short names for sockets."""

    def __init__(self, directory: Path, change: Callable[[str], str] = str) -> None:
        self.directory = directory
        self.file = directory / "hook"
        source = SOURCE.read_text().replace('SYSLOG = "/dev/log"', f'SYSLOG = "{directory / "log"}"')
        self.file.write_text(change(source))
        self.file.chmod(0o755)
        self.python = [SYSTEM_PYTHON, "-ISE"]
        self.socket = directory / "socket"
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.log.bind(str(directory / "log"))
        self.log.setblocking(False)

    def argv(self, verb: str, *options: str) -> list[str]:
        """The command line of a verb."""
        return [*self.python, str(self.file), verb, f"--socket={self.socket}", *options]

    def serving(self, *steps: Step) -> contextlib.AbstractContextManager[FakeDaemon]:
        """A daemon that the hook finds."""
        return serving(self.socket, *steps)

    def run(
        self, verb: str, *options: str, env: dict[str, str] | None = None, **more: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a verb to its end."""
        if "input" not in more:
            more.setdefault("stdin", subprocess.DEVNULL)
        argv = self.argv(verb, *options)
        return subprocess.run(argv, env=env or {}, capture_output=True, check=False, timeout=60, **more)

    def start(self, **more: Any) -> subprocess.Popen[bytes]:
        """Start a session with pipes all round."""
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.argv("session"), env={}, **{**pipes, **more})

    def logged(self) -> list[str]:
        """What the hook has told the system log since the last look."""
        lines = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(self.log.recv(65536).decode())
        return lines


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short name: a socket's may have 107 characters."""
    path = Path(tempfile.mkdtemp(prefix="hook"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def hook(directory: Path) -> Iterator[Hook]:
    """The hook, run by the system's Python."""
    made = Hook(directory)
    yield made
    made.log.close()


@pytest.fixture
def mark(directory: Path) -> Path:
    """A file by which a program shows that it has run."""
    return directory / "mark"
