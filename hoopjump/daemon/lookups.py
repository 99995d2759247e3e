"""Asking the directory from the event loop: beside it, once for all who ask the same, and not for long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from hoopjump.daemon.threads import Threads
from hoopjump.decision.values import Answer, Found, Lookup, Unavailable

LATE_SECONDS: Final = 1.3
KEPT: Final = 4096
FLIGHTS: Final = 4  # of one lookup: no more than these have a thread (Threads), others would be late from the start

log = logging.getLogger(__name__)


class Directory(Protocol):
    """Who is who at the gateway; may block."""

    def answer(self, lookup: Lookup) -> Answer:
        """Who has exactly this value."""


class Lookups:
    """The directory's answers, each lookup in flight once; those that found somebody are kept for a while.

    ``cache`` is in seconds. A call that takes too long goes on by itself, and its answer is there for the next login;
    one that has taken longer than ``late`` seconds already is not the one that somebody new waits for.
    """

    def __init__(
        self,
        directory: Directory,
        threads: Threads,
        cache: float,
        late: float = LATE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._threads = threads
        self._cache = cache
        self._late = late
        self._clock = clock
        self._kept: OrderedDict[Lookup, tuple[Found, float]] = OrderedDict()
        # Oldest first, each with its begin.
        self._flights: dict[Lookup, list[tuple[asyncio.Task[Answer], float]]] = {}

    async def answers(self, lookups: Iterable[Lookup], until: float, seconds: float) -> dict[Lookup, Answer]:
        """Each lookup's answer, all within so many seconds; who has none by then is :class:`Unavailable`, and slow.

        ``until``, in Unix seconds, is the end of the certificate that asks: an answer is not kept beyond it.
        """
        wanted = tuple(lookups)
        answers: dict[Lookup, Answer] = {}
        flights: dict[asyncio.Task[Answer], Lookup] = {}
        for lookup in wanted:
            kept = self._kept.get(lookup)
            if kept is not None and self._clock() < kept[1]:
                answers[lookup] = kept[0]
                if self._clock() > kept[1] - self._cache / 2:
                    # Beside the one who asks, lest a busy gateway holds up all who come when the time is over.
                    self._flight(lookup, until)
            else:
                flights[self._flight(lookup, until)] = lookup
        if flights:
            await asyncio.wait(flights, timeout=seconds)
        late = Unavailable(f"no answer within {seconds:g} s", slow=True)
        for flight, lookup in flights.items():
            answers[lookup] = flight.result() if flight.done() else late
        return answers

    def _flight(self, lookup: Lookup, until: float) -> asyncio.Task[Answer]:
        loop = asyncio.get_running_loop()
        flights = self._flights.setdefault(lookup, [])
        # One that is late already would make this asker late as well, also where the gateway has recovered.
        if not flights or (loop.time() > flights[-1][1] + self._late and len(flights) < FLIGHTS):
            flights.append((loop.create_task(self._ask(lookup, until)), loop.time()))
        return flights[-1][0]

    async def _ask(self, lookup: Lookup, until: float) -> Answer:
        # Kept from the question on, so that an answer that was long under way is not believed for longer.
        until = min(self._clock() + self._cache, until)
        try:
            answer = await self._threads.ask(lookup, lambda: self._directory.answer(lookup))
        except Exception as error:
            log.exception("the directory failed")
            answer = Unavailable(type(error).__name__)
        if not self._landed(lookup, known=not isinstance(answer, Unavailable)):
            return answer
        if isinstance(answer, Found):
            self._kept[lookup] = (answer, until)
            self._kept.move_to_end(lookup)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        elif not isinstance(answer, Unavailable):
            self._kept.pop(lookup, None)
        return answer

    def _landed(self, lookup: Lookup, *, known: bool) -> bool:
        """Whether this flight's answer counts for others: it does not once a later question was answered."""
        flights = self._flights.get(lookup, [])
        place = next((n for n, (task, _) in enumerate(flights) if task is asyncio.current_task()), None)
        if place is None:
            return False
        del flights[0 if known else place : place + 1]
        if not flights:
            del self._flights[lookup]
        return True
