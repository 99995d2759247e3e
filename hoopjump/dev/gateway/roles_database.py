"""Forwards to a database: the role's server at the other end, whatever port the client named."""

from __future__ import annotations

import asyncio

import asyncssh

from hoopjump.dev.gateway.targets import Target, Unreachable, secrets_of


class DatabaseTarget(Target):
    """A role of the kinds postgres and mysql, in direct-tcpip channels."""

    abandoned = 0

    async def forward(self) -> asyncssh.SSHTCPSession[bytes]:
        """Connect to the role's server."""
        secrets = secrets_of(self.role)
        try:
            reader, writer = await asyncio.open_connection(secrets.get("HOST", ""), int(secrets.get("PORT", "0")))
        except OSError as error:
            raise Unreachable from error
        return Forward(self, reader, writer)


class Forward(asyncssh.SSHTCPSession[bytes]):
    """One forward: two streams."""

    def __init__(self, target: DatabaseTarget, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._target = target
        self._reader = reader
        self._writer = writer
        self._channel: asyncssh.SSHTCPChannel[bytes] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        """The channel is open."""
        self._channel = chan

    def session_started(self) -> None:
        """Data may flow."""
        self._target.connection.spawn(self._outward())

    async def _outward(self) -> None:
        try:
            while data := await self._reader.read(32 * 1024):
                self._target.record("o", data)
                await self._writable.wait()
                if self._channel is None:
                    return
                self._channel.write(data)
        except ConnectionResetError:
            pass
        if self._channel is not None:
            self._channel.close()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """From the client to the server."""
        self._target.record("i", data)
        self._writer.write(data)

    def eof_received(self) -> bool:
        """The client has no more to say."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        return True

    def pause_writing(self) -> None:
        """The client's window is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """There is room again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is gone."""
        self._channel = None
        self._writable.set()
        self._writer.close()
        if self._target.role.subtype == "mysql":
            # Closing one MySQL forward takes the whole connection with it.
            self._target.connection.drop()
