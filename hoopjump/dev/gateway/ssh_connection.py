"""One connection to the certificate SSH server: authentication, channels, the target they share, and its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, cast

import asyncssh
from asyncssh.connection import SSHServerConnection, SSHServerConnectionOptions
from asyncssh.constants import MSG_CHANNEL_OPEN
from asyncssh.packet import SSHPacket, String

from hoopjump.dev.gateway import certificates
from hoopjump.dev.gateway.admission import open_target
from hoopjump.dev.gateway.certificates import Accepted, Refused, Settings
from hoopjump.dev.gateway.faults import Faults
from hoopjump.dev.gateway.model import Store, User
from hoopjump.dev.gateway.ssh_session import Channel, Session
from hoopjump.dev.gateway.targets import Target, Unreachable

MAX_TRIES = 6
UNLIMITED_LIFETIME = 24 * 3600
# The real gateway asks its database; meanwhile clients send the end of their input.
LOOKUP = 0.01
# It tells its agent before it closes: so most clients, not all, have read the exit status by then.
FAREWELL = 0.003
SILENT = "cannot connect to target server"
_PROHIBITED = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
_FAILED = asyncssh.OPEN_CONNECT_FAILED


class _Owner(asyncssh.SSHServer):
    """Tells asyncssh the one method of authentication, and us its progress."""

    def __init__(self, authenticated: asyncio.Future[bool]) -> None:
        self.authenticated = authenticated

    def public_key_auth_supported(self) -> bool:
        return True

    def auth_completed(self) -> None:
        if not self.authenticated.done():
            self.authenticated.set_result(True)

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.authenticated.done():
            self.authenticated.set_result(False)


class Connection(SSHServerConnection):
    """One client."""

    def __init__(self, store: Store, faults: Faults, settings: Settings, options: SSHServerConnectionOptions) -> None:
        self.store = store
        self.faults = faults
        self.settings = settings
        self.authenticated: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        options.protocol_factory = lambda: _Owner(self.authenticated)
        super().__init__(asyncio.get_running_loop(), options)
        self.certificate: Accepted | None = None
        self.user: User | None = None
        self.refusal: str | None = None
        self.turned_away = asyncio.Event()
        self.target: Target | None = None
        self.sessions: list[Session] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()
        self._target_lock = asyncio.Lock()
        self._tries = 0
        self._sent = asyncio.Event()
        self._sent.set()
        self._expiry: asyncio.TimerHandle | None = None

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something for as long as the connection lasts."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "session failed", "exception": error})
            self.drop()

    # Authentication.

    async def reload_config(self) -> None:
        """There is no configuration that depends on the user."""

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        """Certificates only; the sixth failure ends the connection."""
        try:
            accepted = certificates.authenticate(self.settings, username, key_data)
        except Refused:
            return self._failed_try()
        if msg and not accepted.key.verify(String(self._session_id) + msg, signature):
            return self._failed_try()
        self.certificate = accepted
        if msg:
            self._identify(accepted)
        return True

    def _failed_try(self) -> bool:
        self._tries += 1
        if self._tries >= MAX_TRIES:
            raise asyncssh.ProtocolError("too many authentication failures")
        return False

    def _identify(self, certificate: Accepted) -> None:
        found = certificates.owner(self.store, self.settings, certificate)
        if isinstance(found, str):
            self.refusal = found
            return
        self.user = found
        lifetime = float(UNLIMITED_LIFETIME)
        if certificate.valid_before != certificates.FOREVER:
            lifetime = certificate.valid_before - time.time()
        self._expiry = asyncio.get_running_loop().call_later(lifetime, self.cut)

    # Channels and requests.

    def _service_next_global_request(self) -> None:
        self._report_global_response(False)

    def _open_channel(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        kind = SSHPacket(packet.get_consumed_payload() + packet.get_remaining_payload())
        kind.get_byte()
        name = kind.get_string().decode("utf-8", "replace")
        if self.refusal is None and name not in ("session", "direct-tcpip"):
            packet.get_string()
            self.send_channel_open_failure(
                packet.get_uint32(), _PROHIBITED, f'hoop: channel type "{name}" is not supported', "en"
            )
            packet.get_remaining_payload()
            return
        self._process_channel_open(pkttype, pktid, packet)

    _packet_handlers = {**SSHServerConnection._packet_handlers, MSG_CHANNEL_OPEN: _open_channel}  # noqa: RUF012

    def _process_session_open(self, packet: SSHPacket) -> tuple[Channel, Session]:
        packet.check_end()
        if self.refusal is None and not (self.certificate and self.certificate.may_have_sessions):
            raise asyncssh.ChannelOpenError(_PROHIBITED, "hoop: cert does not permit pty/exec sessions")
        session = Session(self)
        session.refusal = self.refusal
        self.sessions.append(session)
        channel = Channel(self, asyncio.get_running_loop(), True, False, False, 0, 0, None, "strict", 2**21, 2**15)
        return channel, session

    def _process_direct_tcpip_open(
        self, packet: SSHPacket
    ) -> tuple[asyncssh.SSHTCPChannel[bytes], asyncssh.SSHTCPSession[bytes]]:
        host = packet.get_string().decode("utf-8", "replace")
        packet.get_uint32()
        packet.get_string()
        packet.get_uint32()
        packet.check_end()
        if self.refusal is not None:
            self.turned_away.set()
            raise asyncssh.ChannelOpenError(_PROHIBITED, f"hoop: {self.refusal}")
        if not (self.certificate and self.certificate.may_forward):
            raise asyncssh.ChannelOpenError(_PROHIBITED, "hoop: cert does not permit port forwarding")
        # asyncssh awaits a session that is a coroutine.
        return self.create_tcp_channel(), cast(asyncssh.SSHTCPSession[bytes], self._forward(host))

    async def _forward(self, name: str) -> asyncssh.SSHTCPSession[bytes]:
        if not name:
            raise asyncssh.ChannelOpenError(_FAILED, "hoop: invalid or missing port-forward destination")
        role = self.store.role_named(name)
        if role is None:
            raise asyncssh.ChannelOpenError(_FAILED, f'hoop: connection "{name}" not found')
        try:
            async with self._target_lock:
                if self.target is None:
                    self.target = await open_target(self, role, interactive=False, forward=True)
            return await self.target.forward()
        except Unreachable as error:
            self.spawn(self._end_after_refusal())
            text = f'hoop: connection "{name}" not found or not accessible'
            raise asyncssh.ChannelOpenError(_FAILED, text) from error

    async def _end_after_refusal(self) -> None:
        await asyncio.sleep(0)
        self.drop()

    def command_received(self, session: Session, payload: str) -> None:
        """Serve a session whose exec request has come."""
        self.spawn(self._serve(session, payload))

    async def _serve(self, session: Session, payload: str) -> None:
        await asyncio.sleep(LOOKUP)
        if not payload:
            await self.refuse(session, "invalid exec payload")
            return
        name, _, command = payload.partition(" ")
        role = self.store.role_named(name)
        if role is None:
            await self.refuse(session, f'connection "{name}" not found')
            return
        try:
            async with self._target_lock:
                if self.target is None:
                    interactive = session.size is not None and not command
                    self.target = await open_target(self, role, interactive=interactive, forward=False)
            if self.ended.is_set():
                self.target.stop(killed=False)
            await self.target.serve(session, command)
        except Unreachable as error:
            if error.visible:
                await self.refuse(session, str(error), close=True)
            else:
                self.drop()

    # Ends.

    async def refuse(self, session: Session, text: str, *, close: bool = True) -> None:
        """Say why on stderr, exit 1; most refusals end the connection as well."""
        await session.write(f"hoop: {text}\r\n".encode(), stderr=True)
        session.send_exit_status(1)
        if close:
            await self._close_first()

    async def turn_away(self, session: Session, text: str) -> None:
        """Tell somebody who is let in to nothing why, on the first session channel."""
        await self.refuse(session, text)
        self.turned_away.set()

    async def finish(self, session: Session, status: int) -> None:
        """Send an exit status, and close TCP behind it, as the gateway does."""
        lost = self._loses_this_status()
        if not lost:
            session.send_exit_status(status)
        await self._close_first(always=lost)

    async def _close_first(self, *, always: bool = False) -> None:
        await self.flushed()
        if always or self.faults.early_close:
            await asyncio.sleep(FAREWELL)
            self.drop()

    def _loses_this_status(self) -> bool:
        every = self.faults.lose_exit_status
        if not every:
            return False
        self.store.finished_sessions += 1
        return self.store.finished_sessions % every == 0

    def cut(self) -> None:
        """End with the one sentence for everything: expiry, kill, restart."""
        self.spawn(self._cut())

    async def _cut(self) -> None:
        if self.target is not None:
            self.target.stop(killed=True)
        for session in list(self.sessions):
            await asyncio.wait(
                {asyncio.ensure_future(session.write(f"hoop: {SILENT}\r\n".encode(), stderr=True))}, timeout=0.05
            )
            session.close()
        self.drop()

    def drop(self) -> None:
        """Close TCP when what was written is out; no goodbye."""
        transport = self._transport
        if transport is not None:
            transport.close()

    async def flushed(self) -> None:
        """Wait until the kernel has taken everything."""
        await self._sent.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is there."""
        super().connection_made(transport)
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(0)

    def pause_writing(self) -> None:
        """The kernel's buffer is full."""
        self._sent.clear()

    def resume_writing(self) -> None:
        """The kernel has taken everything."""
        self._sent.set()

    def connection_lost(self, exc: Exception | None = None) -> None:
        """TCP is gone."""
        super().connection_lost(exc)
        self._sent.set()

    def _cleanup(self, exc: Exception | None) -> None:
        super()._cleanup(exc)
        self._sent.set()
        if self._expiry is not None:
            self._expiry.cancel()
        if self.target is not None:
            self.target.stop(killed=False)
        self.turned_away.set()
        self.ended.set()

    def session_closed(self, session: Session) -> None:
        """A session channel is closed."""
        if session in self.sessions:
            self.sessions.remove(session)
