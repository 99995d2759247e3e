"""Asking the directory: once for all who ask the same, and never the slower for a question that is late already."""

from __future__ import annotations

import asyncio
import threading

from hoopjump.daemon.lookups import FLIGHTS, Lookups
from hoopjump.daemon.threads import Threads
from hoopjump.decision.values import Answer, Found, Lookup, Missing, Unavailable
from tests.daemon.yard import ALICE, eventually

WANTED = Lookup("email", ALICE.email)


class Held:
    """A directory whose first questions hang until they are released."""

    def __init__(self, hanging: int) -> None:
        self.asked = 0
        self.release = threading.Event()
        self._hanging = hanging

    def answer(self, lookup: Lookup) -> Answer:
        """Who has this value; counts the questions."""
        self.asked += 1
        if self.asked <= self._hanging:
            self.release.wait(30)
        return Found(ALICE)


async def ask(lookups: Lookups, seconds: float = 30) -> Answer:
    return (await lookups.answers([WANTED], until=1e12, seconds=seconds))[WANTED]


def test_identical_questions_in_flight_are_one() -> None:
    """Ten who ask at once cost the gateway one request."""

    async def story() -> None:
        directory = Held(hanging=1)
        lookups = Lookups(directory, Threads(8), cache=30)
        asking = [asyncio.ensure_future(ask(lookups)) for _ in range(10)]
        await eventually(lambda: directory.asked == 1)
        directory.release.set()
        assert await asyncio.gather(*asking) == [Found(ALICE)] * 10
        assert directory.asked == 1

    asyncio.run(story())


def test_question_that_is_late_is_not_waited_for_again() -> None:
    """A gateway that has recovered answers the next login, though an earlier question still hangs."""

    async def story() -> None:
        directory = Held(hanging=1)
        lookups = Lookups(directory, Threads(8), cache=30)
        first = await ask(lookups, 0.2)
        assert isinstance(first, Unavailable)
        assert first.slow
        make_late(lookups)
        assert await ask(lookups) == Found(ALICE)
        assert directory.asked == 2
        directory.release.set()

    asyncio.run(story())


def make_late(lookups: Lookups) -> None:
    """Questions that are under way have been so for a minute."""
    late = asyncio.get_running_loop().time() - 60
    lookups._flights = {key: [(task, late) for task, _ in flights] for key, flights in lookups._flights.items()}


def test_answer_is_kept_from_the_question_on() -> None:
    """What was long under way is not believed for longer than the cache's time after it was asked."""

    async def story() -> None:
        now = [1000.0]
        directory = Held(hanging=1)
        lookups = Lookups(directory, Threads(8), cache=30, clock=lambda: now[0])
        asking = asyncio.ensure_future(ask(lookups))
        await eventually(lambda: directory.asked == 1)
        now[0] += 29
        directory.release.set()
        assert await asking == Found(ALICE)
        now[0] += 2
        assert await ask(lookups) == Found(ALICE)
        assert directory.asked == 2

    asyncio.run(story())


def test_late_answer_does_not_bring_back_who_has_gone_since() -> None:
    """The gateway answered a later question before: what it says to the earlier one is no longer so."""

    class Leaving(Held):
        def answer(self, lookup: Lookup) -> Answer:
            first = not self.asked
            found = super().answer(lookup)
            return found if first else Missing()

    async def story() -> None:
        directory = Leaving(hanging=1)
        lookups = Lookups(directory, Threads(8), cache=30)
        assert isinstance(await ask(lookups, 0.2), Unavailable)
        ((late, _),) = lookups._flights[WANTED]
        make_late(lookups)
        assert await ask(lookups) == Missing()
        directory.release.set()
        assert await late == Found(ALICE)
        assert await ask(lookups) == Missing()

    asyncio.run(story())


def test_questions_to_a_gateway_that_hangs_do_not_pile_up() -> None:
    """However often somebody tries, a few wait; those who come later wait with them."""

    async def story() -> None:
        directory = Held(hanging=100)
        lookups = Lookups(directory, Threads(32), cache=30, late=0.01)
        for _ in range(20):
            assert isinstance(await ask(lookups, 0.01), Unavailable)
        assert len(lookups._flights[WANTED]) == FLIGHTS
        assert directory.asked <= FLIGHTS
        directory.release.set()
        await eventually(lambda: not lookups._flights)

    asyncio.run(story())
