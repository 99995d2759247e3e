"""Roles that run a local command: on a terminal, or once with an input fixed before the start."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import struct
import sys
import termios
from asyncio.subprocess import PIPE, Process
from typing import TYPE_CHECKING

from hoopjump.dev.gateway.model import Role
from hoopjump.dev.gateway.model import Session as Row
from hoopjump.dev.gateway.ssh_session import Session
from hoopjump.dev.gateway.targets import STDIN_GAP, STDIN_LIMIT, STDIN_WINDOW, Target

if TYPE_CHECKING:
    from hoopjump.dev.gateway.ssh_connection import Connection

# Makes the terminal on fd 0 the controlling one, then becomes the command.
_ON_TERMINAL = (
    "import fcntl,os,sys,termios;os.setsid();fcntl.ioctl(0,termios.TIOCSCTTY,0);os.execvp(sys.argv[1],sys.argv[1:])"
)
_CHUNK = 32 * 1024


def command_of(role: Role, environment: dict[str, str]) -> list[str]:
    """The role's command with its variables filled in."""

    def value(match: re.Match[str]) -> str:
        return environment.get(match[1], "")

    return [re.sub(r"\$(\w+)", value, word) for word in role.command]


def agent_code(returncode: int | None) -> int:
    """The exit code the agent reports: a signal has none, and none is 0."""
    return returncode if returncode is not None and returncode > 0 else 0


async def run_once(command: list[str], environment: dict[str, str]) -> Process:
    """Start a command with three pipes, in a process group of its own."""
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, start_new_session=True
    )


async def feed(process: Process, data: bytes) -> None:
    """Write the whole input and close it; a command that does not read it is no failure."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(data)
            await process.stdin.drain()
            process.stdin.close()


class CommandTarget(Target):
    """A role of the kinds command-line, postgres and mysql, in session channels."""

    def __init__(self, connection: Connection, role: Role, row: Row) -> None:
        super().__init__(connection, role, row)
        self._sessions: list[Session] = []
        self._processes: list[Process] = []

    async def serve(self, session: Session, command: str) -> None:
        """Run the role's command."""
        # Whoever comes later on the same connection gets the output of the first one, too.
        self._sessions.append(session)
        if session.size is not None and not command and self.row.verb == "connect":
            status = await self._on_terminal(session, session.size)
        else:
            status = await self._once(session, command)
        self.end(status)
        for each in self._sessions:
            await self.connection.finish(each, status)

    def _started(self, process: Process) -> None:
        self._processes.append(process)
        if self.stopped:
            self.stop(killed=False)

    def stop(self, *, killed: bool) -> None:
        """Kill what runs."""
        for process in self._processes:
            if process.returncode is None:
                # One that has just been started on a terminal leads no group yet.
                for end in (os.killpg, os.kill):
                    with contextlib.suppress(ProcessLookupError):
                        end(process.pid, signal.SIGKILL)
        super().stop(killed=killed)

    async def _once(self, session: Session, command: str) -> int:
        payload = (command + "\n").encode("utf-8", "surrogateescape") if command else b""
        reading = asyncio.ensure_future(session.read_all())
        if await _ended_in_time(reading, session):
            payload += reading.result()
        if len(payload) > STDIN_LIMIT:
            # More than a message to the agent may hold: it never comes to an end.
            await self.connection.ended.wait()
        self.record("i", payload)
        environment = self.environment()
        process = await run_once(command_of(self.role, environment), environment)
        self._started(process)
        await asyncio.gather(
            feed(process, payload), self._relay(process.stdout), self._relay(process.stderr, stderr=True)
        )
        await process.wait()
        reading.cancel()
        return agent_code(process.returncode)

    async def _relay(self, stream: asyncio.StreamReader | None, *, stderr: bool = False) -> None:
        while stream is not None and (data := await stream.read(_CHUNK)):
            await self._write(data, stderr=stderr)

    async def _write(self, data: bytes, *, stderr: bool = False) -> None:
        self.record("o", data)
        for session in self._sessions:
            await session.write(data, stderr=stderr)

    async def _on_terminal(self, session: Session, size: tuple[int, int]) -> int:
        environment = self.environment()
        master, slave = os.openpty()
        set_size(master, size)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", _ON_TERMINAL, *command_of(self.role, environment),
            stdin=slave, stdout=slave, stderr=slave, env=environment,
        )  # fmt: skip
        os.close(slave)
        self._started(process)
        terminal = Terminal(master)
        # The gateway presses return once, to make the prompt appear.
        terminal.write(b"\n")
        inward = asyncio.ensure_future(self._type(session, terminal))
        resizing = asyncio.ensure_future(follow_size(session, master))
        try:
            while data := await terminal.read():
                await self._write(data)
            await process.wait()
        finally:
            inward.cancel()
            resizing.cancel()
            terminal.close()
        return agent_code(process.returncode)

    async def _type(self, session: Session, terminal: Terminal) -> None:
        # The end of input is not passed on: a shell that reads no "exit" stays.
        while data := await session.read():
            self.record("i", data)
            terminal.write(data)
            await terminal.written()


async def _ended_in_time(reading: asyncio.Future[bytes], session: Session) -> bool:
    """Input counts only if it has ended within the window; else all of it is dropped, and nobody told.

    What keeps flowing is waited for: this server is slower than the real one, and that shall not be the client's loss.
    """
    await asyncio.wait({reading}, timeout=STDIN_WINDOW)
    before = -1
    while not reading.done() and session.received != before:
        before = session.received
        await asyncio.wait({reading}, timeout=STDIN_GAP)
    return reading.done()


class Terminal:
    """The master side of a pseudo-terminal, without blocking."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._loop = asyncio.get_running_loop()
        self._unwritten = bytearray()
        self._empty = asyncio.Event()
        self._empty.set()
        os.set_blocking(master, False)

    async def read(self) -> bytes:
        """What the programs wrote; empty when all of them are gone."""
        while True:
            try:
                return os.read(self._master, _CHUNK)
            except BlockingIOError:
                ready = asyncio.Event()
                self._loop.add_reader(self._master, ready.set)
                try:
                    await ready.wait()
                finally:
                    self._loop.remove_reader(self._master)
            except OSError:
                # EIO: the last process has closed the slave side.
                return b""

    def write(self, data: bytes) -> None:
        """Type something."""
        self._unwritten += data
        self._empty.clear()
        self._flush()

    async def written(self) -> None:
        """Wait until the terminal has taken all that was typed."""
        await self._empty.wait()

    def _flush(self) -> None:
        try:
            count = os.write(self._master, self._unwritten)
        except BlockingIOError:
            count = 0
        except OSError:
            count = len(self._unwritten)
        del self._unwritten[:count]
        if self._unwritten:
            self._loop.add_writer(self._master, self._flush)
        else:
            self._loop.remove_writer(self._master)
            self._empty.set()

    def close(self) -> None:
        """Hang up."""
        self._loop.remove_writer(self._master)
        os.close(self._master)


def set_size(master: int, size: tuple[int, int]) -> None:
    """Set the size (columns, rows) of a terminal; its foreground programs get SIGWINCH."""
    columns, rows = size
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


async def follow_size(session: Session, master: int) -> None:
    """Pass window changes on."""
    while True:
        await session.resized.wait()
        session.resized.clear()
        if session.size is not None:
            set_size(master, session.size)
