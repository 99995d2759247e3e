"""What a session's user is given of the bastion's memory, and told before anything is sent."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from hoopjump.audit.events import Kind
from hoopjump.daemon.gathering import LEAST_INPUT, Gathering
from hoopjump.daemon.processes import Process, find
from hoopjump.decision.values import User
from tests.daemon_sessions.scene import ALICE, outcome, scene

WHOLE = 8 * 1024 * 1024
BOB = User("auth0|2", "bob@x.io", "active")


async def sleepers(stack: AsyncExitStack, number: int) -> list[Process]:
    """Processes that end with the stack."""
    found = []
    for _ in range(number):
        child = await asyncio.create_subprocess_exec("sleep", "60")
        stack.push_async_callback(child.wait)
        stack.callback(child.kill)
        process = find(child.pid)
        assert process is not None
        found.append(process)
    return found


def test_sessions_of_one_user_share_the_memory_for_input() -> None:
    """The first eight may gather a whole input each; many more get less, others do not, and ended ones do not count."""

    async def story() -> None:
        gathering = Gathering()
        async with AsyncExitStack() as stack:
            processes = await sleepers(stack, 16)
            limits = [gathering.limit(ALICE, process, WHOLE) for process in processes]
            assert limits[:8] == [WHOLE] * 8
            assert limits == sorted(limits, reverse=True)
            assert limits[15] == WHOLE // 2
            assert gathering.limit(ALICE, processes[0], WHOLE) == WHOLE // 2
            assert gathering.limit(BOB, processes[0], WHOLE) == WHOLE
            assert gathering.limit(ALICE, processes[0], LEAST_INPUT) == LEAST_INPUT
            assert gathering.limit(ALICE, processes[0], 1000) == 1000
        assert gathering.limit(ALICE, processes[0], WHOLE) == WHOLE

    asyncio.run(story())


def test_a_session_is_told_how_much_it_may_gather() -> None:
    """The configured bound, for a user who has no other session."""

    async def story() -> None:
        async with scene("[session]\nstdin_limit = 5000") as found:
            for _ in range(2):
                answer = await found.ask(("command", "mybash"))
                assert (outcome(answer)[0], answer.text("stdin-limit")) == ("spool", "5000")

    asyncio.run(story())


def test_a_session_that_would_become_ssh_is_told_that_nobody_answers() -> None:
    """It would be in ssh's own words; one that stays below the hook is told by that afterwards."""

    async def story() -> None:
        async with scene() as found:
            found.reach.wrong = "192.0.2.10 port 12222: Connection refused"
            for pairs in ((("command", "mybash"), ("tty", "/dev/pts/7")), (("command", "web1 ls"),)):
                answer = await found.ask(*pairs)
                assert outcome(answer) == ("refuse", "gateway-unavailable")
                assert answer.text("exit") == "69"
            assert found.events(Kind.SESSION_REFUSED)[0].fields["detail"] == found.reach.wrong
            assert found.events(Kind.HANDOFF_ISSUED) == []
            assert outcome(await found.ask(("command", "mybash ls")))[0] == "spool"

    asyncio.run(story())
