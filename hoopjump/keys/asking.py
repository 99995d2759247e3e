"""Verifying tokens from an event loop: where a provider must be asked for its keys, that is done beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from hoopjump.decision.jose import TokenError
from hoopjump.decision.token import VerifiedToken
from hoopjump.keys.keysets import KeySets


class Asking:
    """Verifies tokens; each provider is asked by one thread, for all who wait, so that a slow one holds up no other.

    Must be used inside a running event loop, and stopped.
    """

    def __init__(self, keys: KeySets, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._threads = ThreadPoolExecutor(max(1, len(keys.issuers)), thread_name_prefix="keys")

    async def verify(self, token: bytes, seconds: float | None = None) -> VerifiedToken:
        """What a token says now; raises :class:`TokenError`, after ``seconds`` at the latest.

        A question that takes longer goes on by itself, and its answer is there for the next token.
        """
        try:
            return self._keys.verify_known(token, self._clock())
        except TokenError as error:
            issuer = self._keys.worth_asking(token, error)
            if issuer is None:
                raise
        await asyncio.wait([self._question(issuer)], timeout=seconds)
        return self._keys.verify_known(token, self._clock())

    def stop(self) -> None:
        """Ask for nothing more, and wait for nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _question(self, issuer: str) -> asyncio.Future[None]:
        found = self._asked.get(issuer)
        if found is None:
            loop = asyncio.get_running_loop()
            found = self._asked[issuer] = loop.run_in_executor(self._threads, self._keys.ask_again, issuer)
            found.add_done_callback(partial(self._answered, issuer))
        return found

    def _answered(self, issuer: str, asked: asyncio.Future[None]) -> None:
        del self._asked[issuer]
        if not asked.cancelled():
            # A fault of ours is told by whoever asks; nobody may be left who does.
            asked.exception()
