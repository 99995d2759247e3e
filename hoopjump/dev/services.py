"""The programs of a private bastion: started, waited for by what they say, ended with all they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from hoopjump.daemon.processes import Handle, Process, ProcessGoneError, descendants, find

T = TypeVar("T")

WAIT_SECONDS: Final = 60.0
STOP_SECONDS: Final = 8.0
_POLL_SECONDS: Final = 0.01


class ServiceError(Exception):
    """A program did not start, or ended by itself; the message holds the end of its output."""


def wait_for(condition: Callable[[], T], seconds: float = WAIT_SECONDS, what: str = "the condition") -> T:
    """Ask until the answer is true, and give it; raises :class:`TimeoutError` naming ``what``."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise TimeoutError(f"after {seconds:g} s still waiting for {what}")
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bytes:
    """The first bytes a server on 127.0.0.1 says by itself, empty while there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(64)
    except OSError:
        return b""


def listening(port: int) -> bool:
    """Whether somebody listens on a TCP port of 127.0.0.1, found out without connecting (proc(5), /proc/net/tcp)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1] == f"0100007F:{port:04X}" and row[3] == "0A" for row in rows)


class Service:
    """One program with its output in a file; ``ready`` says when it can be used."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        ready: Callable[[], object],
        environment: Mapping[str, str],
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log = log
        self._ready = ready
        self._environment = dict(environment)
        self._pass_fds = tuple(pass_fds)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the running program; raises :class:`ServiceError` when there is none."""
        if self._process is None or self._process.poll() is not None:
            raise ServiceError(self._complaint("does not run"))
        return self._process.pid

    def start(self) -> None:
        """Start the program and wait until it is ready; raises :class:`ServiceError`."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                pass_fds=self._pass_fds,
                cwd="/",
                start_new_session=True,
            )
        try:
            wait_for(lambda: self.pid and self._ready(), what=f"{self.name} to be ready")
        except TimeoutError as error:
            self.kill()
            raise ServiceError(self._complaint(str(error))) from error

    def stop(self) -> None:
        """Ask the program to end (SIGTERM), and end what it leaves behind; does nothing when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the program at once (SIGKILL), and what it leaves behind."""
        self._end(signal.SIGKILL)

    def crash(self) -> None:
        """End the program alone at once (SIGKILL); what it started lives on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _end(self, number: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        with_children = _held(process.pid) if process.poll() is None else []
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in with_children:
            with child:
                child.send(signal.SIGKILL)
        self._process = None

    def _complaint(self, what: str) -> str:
        status = self._process.poll() if self._process is not None else None
        ended = f" (exit status {status})" if status is not None else ""
        said = self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""
        return f"{self.name}: {what}{ended}\n{' '.join(self.argv)}\n{said}"


def _held(pid: int) -> list[Handle]:
    handles = []
    process = find(pid)
    for child in descendants(process) if process is not None else []:
        try:
            handles.append(Handle.open(Process(child.pid, child.start)))
        except ProcessGoneError:
            continue
    return handles


def minimal_environment(**more: str) -> dict[str, str]:
    """What a service manager would give: a path and a locale, nothing of the caller's."""
    return {"PATH": os.defpath + ":/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", **more}
