"""The threads for questions to the gateway: nobody takes them all, and who gives up frees none too early."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from hoopjump.daemon.threads import Threads
from tests.daemon.yard import eventually


class Gateway:
    """Holds up every question until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked = 0
        self._lock = threading.Lock()

    def question(self, answer: str = "") -> Callable[[], str]:
        def ask() -> str:
            with self._lock:
                self.asked += 1
            self.go.wait(20)
            return answer

        return ask


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway that answers at the end at the latest."""
    made = Gateway()
    yield made
    made.go.set()


def test_one_users_questions_leave_threads_to_others(gateway: Gateway) -> None:
    """A quarter is alice's, and bob is answered while forty questions of hers hang."""

    async def story() -> None:
        threads = Threads(8)
        hers = [asyncio.ensure_future(threads.ask("alice", gateway.question(str(number)))) for number in range(40)]
        await eventually(lambda: gateway.asked == 2)
        async with asyncio.timeout(10):
            assert await threads.ask("bob", lambda: "here") == "here"
        assert gateway.asked == 2
        gateway.go.set()
        async with asyncio.timeout(10):
            assert await asyncio.gather(*hers) == [str(number) for number in range(40)]
        threads.stop()

    asyncio.run(story())


def test_giving_up_frees_no_thread_that_is_still_busy(gateway: Gateway) -> None:
    """Else asking and going away, again and again, would take every thread."""

    async def story() -> None:
        threads = Threads(8)
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await threads.ask("alice", gateway.question())
        assert gateway.asked <= 2
        async with asyncio.timeout(10):
            assert await threads.ask("bob", lambda: "here") == "here"
            gateway.go.set()
            assert await threads.ask("alice", lambda: "again") == "again"
        threads.stop()

    asyncio.run(story())


def test_a_single_thread_is_enough_and_failures_come_through() -> None:
    """What the question raises is raised, and frees its place."""

    def fail() -> None:
        raise ZeroDivisionError

    async def story() -> None:
        threads = Threads(1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await threads.ask("alice", fail)
        assert await threads.ask("alice", lambda: 42) == 42
        threads.stop()

    asyncio.run(story())
