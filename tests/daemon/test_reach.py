"""Whether the gateway's SSH server answers, as the daemon finds it out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from hoopjump.daemon import reach
from hoopjump.daemon.reach import KEPT_SECONDS, Reach


class Server:
    """A server that does ``manner`` with each connection."""

    def __init__(self, manner: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.manner = manner
        self.came = 0

    async def start(self) -> AbstractAsyncContextManager[asyncio.AbstractServer]:
        """Listen; ``port`` is then known."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        await self.manner(writer)


async def greet(writer: asyncio.StreamWriter) -> None:
    """Say what every SSH server says first."""
    writer.write(b"SSH-2.0-Go\r\n")
    await writer.drain()
    writer.close()


async def turn_away(writer: asyncio.StreamWriter) -> None:
    """Close without a word."""
    writer.close()


def test_an_answer_is_believed_for_half_a_minute() -> None:
    """Many sessions are one look; the next is taken when the time is over."""
    now = 0.0

    async def story() -> None:
        nonlocal now
        server = Server(greet)
        async with await server.start():
            looked = Reach("127.0.0.1", server.port, lambda: now)
            looked.look()
            assert await asyncio.gather(*(looked.fault() for _ in range(20))) == [None] * 20
            now = KEPT_SECONDS - 1
            assert (await looked.fault(), server.came) == (None, 1)
            now = KEPT_SECONDS + 1
            assert (await looked.fault(), server.came) == (None, 2)

    asyncio.run(story())


def test_nobody_listening_is_told_and_never_believed() -> None:
    """Whoever is up again is found at once."""

    async def story() -> None:
        server = Server(greet)
        async with await server.start():
            pass
        looked = Reach("127.0.0.1", server.port)
        fault = await looked.fault()
        assert fault is not None
        assert "Connect call failed" in fault or "refused" in fault
        async with await asyncio.start_server(server._serve, "127.0.0.1", server.port):
            assert await looked.fault() is None

    asyncio.run(story())


def test_a_server_that_hangs_up_at_once_does_not_answer() -> None:
    """As a load balancer does with nobody behind it."""

    async def story() -> None:
        server = Server(turn_away)
        async with await server.start():
            fault = await Reach("127.0.0.1", server.port).fault()
        assert fault == f"127.0.0.1 port {server.port}: the connection is closed at once"

    asyncio.run(story())


def test_a_server_that_is_busy_with_others_answers() -> None:
    """The gateway completes one handshake before it begins the next; who waits for his turn is not refused."""

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            assert await Reach("127.0.0.1", listening.getsockname()[1]).fault() is None

    asyncio.run(story())


def test_packets_that_are_lost_are_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full backlog drops what comes (listen(2)); there is an answer all the same, before the session's time is up."""
    monkeypatch.setattr(reach, "CONNECT_SECONDS", 0.05)

    async def story() -> None:
        with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            for one in (first, second):
                one.setblocking(False)
                one.connect_ex(listening.getsockname())
            fault = await Reach("127.0.0.1", listening.getsockname()[1]).fault()
        assert fault is not None
        assert fault.endswith("no answer in time")

    asyncio.run(story())
