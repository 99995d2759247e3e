"""The network side: accepts connections within bounds, and ends each in time.

Accepting is done here and not by asyncio's servers, since those tell of a TLS connection only when its handshake is
over: whoever never begins one would not be counted.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web

from hoopjump.ca.limits import neighbourhood

# No cache may keep what was for one client; nobody needs to know what we are made with.
HEADERS: Final = {"Cache-Control": "no-store", "Server": "hoopjump-ca", "X-Content-Type-Options": "nosniff"}

# Of one connection, which has one request of a tenth of that; more makes aiohttp keep what it could not read.
RECEIVED_LIMIT: Final = 256 * 1024

# Room in the table of descriptors is likely to come back soon.
_PAUSE_SECONDS: Final = 0.2

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

log = logging.getLogger("hoopjump.ca")


class _Protocol(web.RequestHandler):
    _received = 0

    def data_received(self, data: bytes) -> None:
        """What comes from the client: so much of it, and no more."""
        self._received += len(data)
        if self._received <= RECEIVED_LIMIT:
            super().data_received(data)
        elif self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP. aiohttp's own would say what we are made with."""
        super().handle_error(request, status, exc)
        response = web.Response(status=status, text=f"{HTTPStatus(status).phrase.lower()}\n", headers=HEADERS)
        response.force_close()
        return response


class Http(web.Server):
    """aiohttp's HTTP, which also tells when a connection has ended. Its own complaints about clients are not logged."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(handler)
        self._quiet = logging.getLogger("hoopjump.ca.http")
        self._quiet.setLevel(logging.CRITICAL)
        self._ends: dict[web.RequestHandler, asyncio.Future[None]] = {}

    def expect(self) -> tuple[web.RequestHandler, asyncio.Future[None]]:
        """The protocol of a connection to come, and what is done when it has ended."""
        loop = asyncio.get_running_loop()
        protocol = _Protocol(
            self, loop=loop, access_log=self._quiet, auto_decompress=False, lingering_time=2.0, logger=self._quiet
        )
        self._ends[protocol] = loop.create_future()
        return protocol, self._ends[protocol]

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Called by the protocol."""
        super().connection_lost(handler, exc)
        self.forget(handler)

    def forget(self, protocol: web.RequestHandler) -> None:
        """The connection has ended, or never began."""
        end = self._ends.pop(protocol, None)
        if end is not None and not end.done():
            end.set_result(None)


class Server:
    """Listens on one socket. ``tls`` is None behind a proxy; it may be replaced for connections to come.

    ``connections`` is how many are open at most, ``per_source`` how many of a neighbourhood, ``seconds`` how long one
    may take.
    """

    def __init__(
        self,
        listener: socket.socket,
        handler: Handler,
        *,
        tls: ssl.SSLContext | None,
        connections: int,
        per_source: int,
        seconds: float,
    ) -> None:
        self.tls = tls
        self._listener = listener
        self._http = Http(handler)
        self._room = asyncio.Semaphore(connections)
        self._per_source = per_source
        self._seconds = seconds
        self._sources: Counter[str] = Counter()
        self._attended: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._attended)

    def start(self) -> asyncio.Task[None]:
        """Begin to accept; the task ends only with a fault of ours."""
        self._listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())
        return self._accepting

    async def stop(self, seconds: float) -> None:
        """Accept nothing more, and let what is being answered be answered for so many seconds."""
        if self._accepting is not None:
            # Else asyncio complains when a connection comes at this very moment.
            asyncio.get_running_loop().remove_reader(self._listener)
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        self._listener.close()
        self._http.pre_shutdown()
        await self._http.shutdown(seconds)
        for task in self._attended:
            task.cancel()
        await asyncio.gather(*self._attended, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            await self._room.acquire()
            try:
                connection, address = await asyncio.get_running_loop().sock_accept(self._listener)
            except OSError as error:
                self._room.release()
                log.warning("no connection can be accepted: %s", error.strerror)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            site = neighbourhood(address[0]) if connection.family != socket.AF_UNIX else None
            task = asyncio.create_task(self._attend(connection, site))
            self._attended.add(task)
            task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._attended.discard(task)
        self._room.release()

    async def _attend(self, connection: socket.socket, site: str | None) -> None:
        if site is None:
            await self._converse(connection)
        elif self._sources[site] >= self._per_source:
            connection.close()
        else:
            self._sources[site] += 1
            try:
                await self._converse(connection)
            finally:
                self._sources[site] -= 1
                if not self._sources[site]:
                    del self._sources[site]

    async def _converse(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        protocol, ended = self._http.expect()
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self.tls,
                ssl_handshake_timeout=self._seconds if self.tls is not None else None,
            )
        except OSError:
            # No TLS, or none in time: nobody is left to tell. asyncio has closed the connection.
            self._http.forget(protocol)
            return
        try:
            async with asyncio.timeout_at(deadline):
                await ended
        except TimeoutError:
            transport.abort()
            await ended
