"""A gateway that answers late: an answer of half a minute ago stands in for one that does not come in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from hoopjump.daemon.preflight import Preflight
from hoopjump.daemon.threads import Threads
from hoopjump.daemon.wishes import RefusedError
from hoopjump.decision.reasons import Reason
from hoopjump.decision.request import SessionRequest
from hoopjump.gateway.client import GatewayError
from tests.daemon_sessions.scene import ALICE, FakeGateway

CACHE = 30.0
Ask = Callable[[], Awaitable[str]]


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def told(story: Callable[[FakeGateway, Clock, Ask], Awaitable[None]]) -> None:
    """Tell a story of a gateway, a clock, and what asks for the role ``mybash``."""

    async def whole() -> None:
        gateway, clock, threads = FakeGateway(), Clock(), Threads(4)
        preflight = Preflight(gateway, threads, CACHE, clock)

        async def ask() -> str:
            async with asyncio.timeout(2):
                request = SessionRequest("mybash", b"ls")
                role, _ = await preflight.decide(request, "mybash", ALICE, terminal=False, permit_pty=True)
            return role.name

        try:
            await story(gateway, clock, ask)
        finally:
            if gateway.hold is not None:
                gateway.hold.set()
            threads.stop()

    asyncio.run(whole())


def test_a_late_answer_is_stood_in_for() -> None:
    """The role was there a moment ago; whether it still is, the gateway itself will say."""

    async def story(gateway: FakeGateway, clock: Clock, ask: Ask) -> None:
        assert await ask() == "mybash"
        gateway.hold = threading.Event()
        clock.now += CACHE - 1
        assert await ask() == "mybash"

    told(story)


def test_an_old_answer_stands_in_for_nothing() -> None:
    """After the time for which answers are kept, it is the gateway's word or none."""

    async def story(gateway: FakeGateway, clock: Clock, ask: Ask) -> None:
        await ask()
        gateway.hold = threading.Event()
        clock.now += CACHE
        with pytest.raises(TimeoutError):
            await ask()

    told(story)


def test_an_answer_in_time_counts() -> None:
    """A role that has gone, or a gateway that is down, is told at once, whatever was known before."""

    async def story(gateway: FakeGateway, clock: Clock, ask: Ask) -> None:
        await ask()
        gateway.roles.clear()
        with pytest.raises(RefusedError) as refused:
            await ask()
        assert refused.value.reason is Reason.ROLE_UNKNOWN
        gateway.hold = threading.Event()
        with pytest.raises(TimeoutError):
            await ask()
        gateway.hold.set()
        gateway.hold = None
        gateway.down = GatewayError("unreachable", "down")
        with pytest.raises(RefusedError) as refused:
            await ask()
        assert refused.value.reason is Reason.GATEWAY_UNAVAILABLE

    told(story)
