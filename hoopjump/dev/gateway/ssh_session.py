"""One session channel of the certificate SSH server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncssh
from asyncssh.channel import SSHServerChannel
from asyncssh.packet import SSHPacket

if TYPE_CHECKING:
    from hoopjump.dev.gateway.ssh_connection import Connection

DEFAULT_SIZE = (80, 24)
EXEC_PATIENCE = 30.0
_READ_AHEAD = 1024 * 1024


class Channel(SSHServerChannel[bytes]):
    """The gateway's manners: commands are bytes, and only what it knows is granted."""

    def _process_exec_request(self, packet: SSHPacket) -> bool:
        command = packet.get_string()
        packet.check_end()
        return self._start_session(command=command.decode("utf-8", "surrogateescape"))

    def _refuse(self, packet: SSHPacket) -> bool:
        return False

    _process_env_request = _refuse
    _process_x11_req_request = _refuse
    _process_auth_agent_req_at_openssh_dot_com_request = _refuse  # type: ignore[assignment]
    _process_signal_request = _refuse
    _process_break_request = _refuse


class Session(asyncssh.SSHServerSession[bytes]):
    """A session channel: collects its requests, then hands itself to the connection to be served."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.size: tuple[int, int] | None = None
        self.term = ""
        self.resized = asyncio.Event()
        self.command: str | None = None
        self.refusal: str | None = None
        self.at_eof = False
        self.received = 0
        self._input: list[bytes] = []
        self._input_size = 0
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.gone = False
        self._channel: SSHServerChannel[bytes] | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, chan: SSHServerChannel[bytes]) -> None:
        """The channel is open."""
        self._channel = chan
        # Nothing counts as written before the window has let it out.
        chan.set_write_buffer_limits(0)
        self._patience = asyncio.get_running_loop().call_later(EXEC_PATIENCE, self._lose_patience)
        if self.refusal is not None:
            self.connection.spawn(self.connection.turn_away(self, self.refusal))

    def _lose_patience(self) -> None:
        if self.command is None:
            self.close()
            self.connection.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed."""
        if self._patience is not None:
            self._patience.cancel()
        self.gone = True
        self.at_eof = True
        self._arrived.set()
        self._writable.set()
        self.connection.session_closed(self)

    def pty_requested(self, term_type: str | None, term_size: tuple[int, int, int, int], _modes: object) -> bool:
        """Granted, and kept until the command names a role."""
        if self.refusal is not None:
            return False
        self.term = term_type or ""
        self.size = (term_size[0] or DEFAULT_SIZE[0], term_size[1] or DEFAULT_SIZE[1])
        return True

    def terminal_size_changed(self, width: int, height: int, _pixwidth: int, _pixheight: int) -> None:
        """The window changed."""
        if self.size is not None:
            self.size = (width, height)
            self.resized.set()

    def shell_requested(self) -> bool:
        """Accepted, to say in words that it is not supported."""
        return self._answer_in_words(
            'request type "shell" is not supported; specify a connection name: '
            "ssh -p <port> <user>@<host> <connection-name>"
        )

    def subsystem_requested(self, subsystem: str) -> bool:
        """Accepted, to say in words that it is not supported."""
        return self._answer_in_words(
            f'subsystem "{subsystem}" is not supported; '
            "for file transfers use scp legacy mode (add -O flag): scp -O ..."
        )

    def _answer_in_words(self, text: str) -> bool:
        if self.refusal is not None:
            return False
        self.connection.spawn(self.connection.refuse(self, text, close=False))
        return True

    def exec_requested(self, command: str) -> bool:
        """The command: a role's name, and after the first space what to run there."""
        if self.refusal is not None:
            return False
        self.command = command
        return True

    def session_started(self) -> None:
        """The exec request has been answered."""
        if self.command is not None:
            self.connection.command_received(self, self.command)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Input from the client."""
        self.received += len(data)
        self._input.append(data)
        self._input_size += len(data)
        if self._input_size > _READ_AHEAD and self._channel is not None:
            self._channel.pause_reading()
        self._arrived.set()

    def eof_received(self) -> bool:
        """The client's input ended; output may go on."""
        self.at_eof = True
        self._arrived.set()
        return True

    def pause_writing(self) -> None:
        """The client's window is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """All that was written has been sent."""
        self._writable.set()

    async def read(self) -> bytes:
        """The input that has come, empty at its end."""
        while not self._input:
            if self.at_eof:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        data = b"".join(self._input)
        self._input.clear()
        self._input_size = 0
        if self._channel is not None and not self.gone:
            self._channel.resume_reading()
        return data

    async def read_all(self) -> bytes:
        """The whole input, however long it takes."""
        parts = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)

    async def write(self, data: bytes, *, stderr: bool = False) -> None:
        """Send output; returns when it has left for the network."""
        if self.gone or self._channel is None:
            return
        if stderr:
            self._channel.write_stderr(data)
        else:
            self._channel.write(data)
        await self._writable.wait()
        await self.connection.flushed()

    def write_eof(self) -> None:
        """No more output."""
        if not self.gone and self._channel is not None:
            self._channel.write_eof()

    def send_exit_status(self, status: int) -> None:
        """Send an exit status, and close the channel."""
        if not self.gone and self._channel is not None:
            self._channel.exit(status)

    def send_exit_signal(self, signal: str, message: str) -> None:
        """Send an exit signal, and close the channel."""
        if not self.gone and self._channel is not None:
            self._channel.exit_with_signal(signal, False, message)

    def close(self) -> None:
        """Close the channel without an exit status."""
        if not self.gone and self._channel is not None:
            self._channel.close()
