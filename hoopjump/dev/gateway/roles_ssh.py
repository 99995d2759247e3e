"""Roles of type ssh: a relay to another sshd."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import asyncssh

from hoopjump.dev.gateway.model import Role
from hoopjump.dev.gateway.model import Session as Row
from hoopjump.dev.gateway.ssh_session import Session
from hoopjump.dev.gateway.targets import KILLED, STDIN_WINDOW, Target, Unreachable, secrets_of

if TYPE_CHECKING:
    from hoopjump.dev.gateway.ssh_connection import Connection

_CHUNK = 32 * 1024


class SshTarget(Target):
    """A second sshd; everything is relayed, and the client closes the connection."""

    abandoned = 0

    def __init__(self, connection: Connection, role: Role, row: Row) -> None:
        super().__init__(connection, role, row)
        self._upstream: asyncssh.SSHClientConnection | None = None
        self._lock = asyncio.Lock()

    async def _connect(self) -> asyncssh.SSHClientConnection:
        async with self._lock:
            if self._upstream is None:
                secrets = secrets_of(self.role)
                key = secrets.get("AUTHORIZED_SERVER_KEYS")
                try:
                    self._upstream = await asyncssh.connect(
                        secrets.get("HOST", ""),
                        int(secrets.get("PORT", "22")),
                        username=secrets.get("USER", ""),
                        client_keys=[asyncssh.import_private_key(key)] if key else [],
                        password=secrets.get("PASS"),
                        known_hosts=None,
                        config=None,
                        agent_path=None,
                    )
                except (OSError, asyncssh.Error, asyncssh.KeyImportError) as error:
                    self.end(KILLED)
                    raise Unreachable(_sentence(error), visible=True) from error
                if self.stopped:
                    self._upstream.abort()
                    raise Unreachable
            return self._upstream

    async def serve(self, session: Session, command: str) -> None:
        """Relay a session channel."""
        upstream = await self._connect()
        early = b""
        if not command:
            # What has ended by now is the command; what has not is typed into a shell.
            ended, early = await _read_within(session, STDIN_WINDOW)
            if ended:
                command, early = early.decode("utf-8", "surrogateescape").rstrip("\r\n"), b""
        process: asyncssh.SSHClientProcess[bytes] = await upstream.create_process(
            command or None,
            term_type=session.term if session.size is not None else None,
            term_size=session.size or (0, 0, 0, 0),
            encoding=None,
        )
        inward = asyncio.ensure_future(self._inward(session, process, early))
        resizing = asyncio.ensure_future(_follow_size(session, process))
        try:
            await asyncio.gather(
                self._outward(process.stdout, session), self._outward(process.stderr, session, stderr=True)
            )
            await process.wait_closed()
        finally:
            inward.cancel()
            resizing.cancel()
        self._finish(session, process)

    def _finish(self, session: Session, process: asyncssh.SSHClientProcess[bytes]) -> None:
        if process.exit_signal is not None:
            name, _, message, _ = process.exit_signal
            self.end(0)
            session.send_exit_signal(name, message)
        elif process.exit_status is not None:
            self.end(process.exit_status)
            session.send_exit_status(process.exit_status)
        else:
            self.end(0)
            session.close()

    async def _inward(self, session: Session, process: asyncssh.SSHClientProcess[bytes], early: bytes) -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            process.stdin.write(early)
            while data := await session.read():
                self.record("i", b"")
                process.stdin.write(data)
                await process.stdin.drain()
            process.stdin.write_eof()

    async def _outward(self, stream: asyncssh.SSHReader[bytes], session: Session, *, stderr: bool = False) -> None:
        while data := await stream.read(_CHUNK):
            self.row.event_size += len(data)
            await session.write(data, stderr=stderr)

    def stop(self, *, killed: bool) -> None:
        """Leave the other sshd."""
        if self._upstream is not None:
            self._upstream.abort()
        super().stop(killed=killed)


async def _read_within(session: Session, seconds: float) -> tuple[bool, bytes]:
    parts = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while data := await session.read():
                parts.append(data)
            return True, b"".join(parts)
    return False, b"".join(parts)


async def _follow_size(session: Session, process: asyncssh.SSHClientProcess[bytes]) -> None:
    while True:
        await session.resized.wait()
        session.resized.clear()
        if session.size is not None:
            process.change_terminal_size(*session.size)


def _sentence(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "cannot connect to target server: connection refused"
    if isinstance(error, asyncssh.PermissionDenied):
        return "authentication failed against target server"
    return "cannot connect to target server"
