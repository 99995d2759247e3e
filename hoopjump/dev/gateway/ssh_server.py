"""The certificate SSH server: listening, accepting, starting over."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import asyncssh
from asyncssh.connection import SSHServerConnectionOptions

from hoopjump.dev.gateway.certificates import Settings, StartError, read_settings
from hoopjump.dev.gateway.faults import Faults
from hoopjump.dev.gateway.model import Store
from hoopjump.dev.gateway.ssh_connection import Connection

BACKLOG = 1024
# A login whose user cannot be found is given this long to open a channel, to be told so on it.
TURN_AWAY_WAIT = 5.0


class SshServer:
    """The server of one gateway; it may be started and stopped many times."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._held: list[socket.socket] = []

    async def start(self, config: dict[str, object]) -> int:
        """Listen as the configuration says, on loopback whatever it says; the port. Raises :class:`StartError`."""
        settings = read_settings(config)
        host, _, port = settings.listen_address.rpartition(":")
        address = (host if host.startswith("127.") else "127.0.0.1", int(port) if port.isdigit() else -1)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except (OSError, OverflowError) as error:
            listener.close()
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "invalid port"
            raise StartError(
                f"failed listening to address {settings.listen_address}, "
                f"err=listen tcp4 {settings.listen_address}: bind: {reason.lower()}"
            ) from error
        listener.listen(BACKLOG)
        listener.setblocking(False)
        self._listener = listener
        self._accepting = asyncio.ensure_future(self._accept(listener, settings))
        bound: int = listener.getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening, and end every connection."""
        if self._accepting is not None:
            self._accepting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._accepting
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for held in self._held:
            held.close()
        self._held.clear()
        connections = list(self._connections)
        for connection in connections:
            connection.cut()
        if connections:
            ended = [asyncio.ensure_future(connection.ended.wait()) for connection in connections]
            await asyncio.wait(ended, timeout=1)
        if self._serving:
            _, unfinished = await asyncio.wait(self._serving, timeout=1)
            for task in unfinished:
                task.cancel()

    async def _accept(self, listener: socket.socket, settings: Settings) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listener)
            if self._faults.ssh_down:
                client.close()
            elif self._faults.ssh_hang:
                self._held.append(client)
            else:
                past_handshake = asyncio.Event()
                task = asyncio.ensure_future(self._serve(client, settings, past_handshake))
                self._serving.add(task)
                task.add_done_callback(self._serving.discard)
                if self._faults.serial_handshake:
                    # The real server completes a handshake before it accepts the next connection, without a deadline.
                    await past_handshake.wait()

    async def _serve(self, client: socket.socket, settings: Settings, past_handshake: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        options = SSHServerConnectionOptions(
            config=None,
            server_version="Go",
            server_host_keys=[settings.host_key],
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_auth=False,
            gss_kex=False,
            public_key_auth=True,
            login_timeout=0,
            line_editor=False,
            encoding=None,
            compression_algs=["none"],
            signature_algs="+ssh-rsa",
        )
        try:
            connection = Connection(self._store, self._faults, settings, options)
            self._connections.add(connection)
            try:
                await loop.connect_accepted_socket(lambda: connection, client)
                if await connection.authenticated and connection.refusal is not None:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(connection.turned_away.wait(), TURN_AWAY_WAIT)
                    connection.drop()
                past_handshake.set()
                await connection.ended.wait()
                if connection.tasks:
                    await asyncio.wait(connection.tasks)
            finally:
                self._connections.discard(connection)
        except (OSError, asyncssh.Error):
            client.close()
        finally:
            past_handshake.set()
