"""Whether somebody answers at the gateway's SSH port.

A session that becomes ssh shows its user ssh's own words and no more, so this is found out before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

KEPT_SECONDS: Final = 30.0
# A lost packet is sent again after a second (RFC 6298 section 2), which is too late here; so there is a second try.
TRIES: Final = 2
CONNECT_SECONDS: Final = 0.4
# The server completes one handshake before it begins the next, so it may well have no word for us yet.
WORD_SECONDS: Final = 0.2
# For a name with several addresses (RFC 8305).
NEXT_ADDRESS_SECONDS: Final = 0.1


class Reach:
    """Looks at one port. That it answered is believed for half a minute; that it did not is never believed."""

    def __init__(self, host: str, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._good_until = 0.0
        self._look: asyncio.Task[str | None] | None = None

    def look(self) -> None:
        """Begin to find out. Must be called inside a running event loop."""
        if self._clock() < self._good_until or (self._look is not None and not self._look.done()):
            return
        self._look = asyncio.get_running_loop().create_task(self._ask())

    async def fault(self) -> str | None:
        """What is wrong, None when the port answers; known within 1.0 s of :meth:`look`."""
        if self._clock() < self._good_until:
            return None
        self.look()
        assert self._look is not None
        # Whoever gives up leaves the question to the others.
        return await asyncio.shield(self._look)

    async def _ask(self) -> str | None:
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    reader, writer = await asyncio.open_connection(
                        self._host, self._port, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS
                    )
            except TimeoutError:
                continue
            except OSError as error:
                return f"{self._host} port {self._port}: {error.strerror or error}"
            try:
                if not await _has_word(reader):
                    return f"{self._host} port {self._port}: the connection is closed at once"
            finally:
                writer.close()
            self._good_until = self._clock() + KEPT_SECONDS
            return None
        return f"{self._host} port {self._port}: no answer in time"


async def _has_word(reader: asyncio.StreamReader) -> bool:
    """Whether the server says something (RFC 4253 section 4.2: its version), or keeps us waiting for it."""
    try:
        async with asyncio.timeout(WORD_SECONDS):
            return bool(await reader.read(1))
    except TimeoutError:
        return True
    except OSError:
        return False
