"""The daemon's listening socket, and how often each uid may knock.

Every local process may connect, and a connection costs its maker almost nothing. So whoever comes too often is turned
away by what the kernel says of the peer alone, before anything is read, looked up or logged: one process that connects
in a loop would otherwise keep the event loop busy and the backlog full, and sshd's hook would wait in vain.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Callable
from typing import Final

KNOCKS_PER_SECOND: Final = 256.0
KNOCKS_AT_ONCE: Final = 1024.0
ACCEPTED_AT_ONCE: Final = 64
TURNED_AWAY_AT_ONCE: Final = 1024
REST_SECONDS: Final = 0.5
SAID_AGAIN_SECONDS: Final = 60.0

_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid

log = logging.getLogger(__name__)

Arrived = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


class Pace:
    """A token bucket for each key: ``burst`` at once, ``rate`` a second in the long run."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left: dict[int, tuple[float, float]] = {}

    def take(self, key: int) -> bool:
        """Whether there is one more; if so, it is taken."""
        now = self._clock()
        left, then = self._left.get(key, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        self._left[key] = (left - 1 if left >= 1 else left, now)
        return left >= 1


class Door:
    """Accepts connections on a listening socket and gives each to ``arrived``.

    ``unlimited`` tells the uids that may come as often as they like, ``crowd`` with whom the others are counted.
    """

    def __init__(
        self,
        listener: socket.socket,
        arrived: Arrived,
        unlimited: Callable[[int], bool],
        crowd: Callable[[int], int],
    ) -> None:
        self._listener = listener
        self._arrived = arrived
        self._unlimited = unlimited
        self._crowd = crowd
        self._pace = Pace(KNOCKS_PER_SECOND, KNOCKS_AT_ONCE)
        self._said = Pace(1 / SAID_AGAIN_SECONDS, 1)
        self._rest: asyncio.TimerHandle | None = None
        self._entering: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        """Accept from now on."""
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Accept no more, and close the socket."""
        self._loop.remove_reader(self._listener)
        if self._rest is not None:
            self._rest.cancel()
        for task in self._entering:
            task.cancel()
        self._listener.close()

    def _accept(self) -> None:
        accepted = 0
        for _ in range(TURNED_AWAY_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # accept(2): out of descriptors or memory. What waits stays readable, so looking again at once is idle.
                log.error("no connection can be accepted: %s", error.strerror)  # noqa: TRY400 - a trace says nothing
                self._loop.remove_reader(self._listener)
                self._rest = self._loop.call_later(REST_SECONDS, self.open)
                return
            uid = _uid(connection)
            if not self._unlimited(uid) and not self._pace.take(self._crowd(uid)):
                connection.close()
                if self._said.take(self._crowd(uid)):
                    log.warning("uid %d connects too often; some of its connections are dropped", uid)
                continue
            task = self._loop.create_task(self._enter(connection))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)
            accepted += 1
            if accepted >= ACCEPTED_AT_ONCE:
                return

    async def _enter(self, connection: socket.socket) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await self._loop.connect_accepted_socket(lambda: protocol, connection)
        self._arrived(reader, asyncio.StreamWriter(transport, protocol, reader, self._loop))


def _uid(connection: socket.socket) -> int:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid
