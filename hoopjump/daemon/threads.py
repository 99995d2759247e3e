"""The threads in which the gateway is asked, shared out so that nobody's questions can take them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from weakref import WeakValueDictionary

PARTS: Final = 4

T = TypeVar("T")


class Threads:
    """So many threads, of which one asker has a quarter at a time (one at least); all further questions wait in line.

    A question whose asker has given up keeps its thread until it is answered, and counts until then.
    """

    def __init__(self, number: int) -> None:
        self._executor = ThreadPoolExecutor(number, thread_name_prefix="gateway")
        self._share = max(1, number // PARTS)
        # A line is there for as long as somebody stands in it or has a thread by it.
        self._lines: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    async def ask(self, whose: Hashable, question: Callable[[], T]) -> T:
        """The answer to a question that may block; raises what it raises."""
        line = self._lines.setdefault(whose, asyncio.Semaphore(self._share))
        await line.acquire()
        asked = asyncio.get_running_loop().run_in_executor(self._executor, question)
        asked.add_done_callback(lambda _: line.release())
        return await asyncio.shield(asked)

    def stop(self) -> None:
        """Take no more questions, and wait for none."""
        self._executor.shutdown(wait=False, cancel_futures=True)
