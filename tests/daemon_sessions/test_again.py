"""A session whose daemon was restarted before the gateway let it in: begun again, and never run twice."""

from __future__ import annotations

import asyncio

import pytest

from hoopjump.audit.events import Kind
from tests.daemon_sessions.scene import Scene, authenticate, lines, outcome, scene

RUN = (("stage", "run"), ("command", "mybash ls"))


async def restart(found: Scene) -> None:
    """End the daemon and start the next one, in the same directory."""
    await found.server.stop(0.1)
    found.sessions.stop()
    await found.start()


async def orphan(found: Scene, *, used: bool) -> str:
    """The name of a handover whose daemon has gone before it was told how the session ended."""
    async with found.call(*RUN) as talk:
        plan = await talk.hear()
        if used:
            await authenticate(plan)
        await restart(found)
        return plan.text("handover") or ""


def test_a_session_that_nobody_let_in_begins_again() -> None:
    """A fresh key and a fresh configuration; the old ones are gone, and serve once only."""

    async def story() -> None:
        async with scene() as found:
            name = await orphan(found, used=False)
            async with found.call(*RUN, ("again", name)) as talk:
                plan = await talk.hear()
                assert outcome(plan)[0] == "run"
                assert plan.text("handover") != name
                await authenticate(plan)
            assert outcome(await found.ask(*RUN, ("again", name)))[0] == "exit"

    asyncio.run(story())


def test_a_session_that_was_let_in_is_not_run_twice() -> None:
    """Its key had signed, so the command may have run: nobody knows how it ended, and that is what is said."""

    async def story() -> None:
        async with scene() as found:
            name = await orphan(found, used=True)
            started = len(found.events(Kind.SESSION_STARTED))
            answer = await found.ask(*RUN, ("again", name))
            assert (outcome(answer)[0], answer.text("exit")) == ("exit", "255")
            assert "whether the command did its work is not known" in lines(answer)[0]
            assert len(found.events(Kind.SESSION_STARTED)) == started

    asyncio.run(story())


def test_a_handover_is_taken_back_by_its_own_login_only() -> None:
    """Its name stands in a list of processes for everybody to read; naming it takes nothing from its owner."""

    async def story() -> None:
        async with scene() as found:
            name = await orphan(found, used=False)
            pid, start, token = name.split("-")
            for foreign in (f"{int(pid) + 1}-{start}-{token}", f"{pid}-{int(start) + 1}-{token}"):
                (found.directory / "handoff" / f"{foreign}.conf").touch()
                answer = await found.ask(*RUN, ("again", foreign))
                assert (outcome(answer)[0], answer.text("exit")) == ("exit", "255")
                assert (found.directory / "handoff" / f"{foreign}.conf").exists()
            assert (found.directory / "handoff" / f"{name}.conf").exists()

    asyncio.run(story())


@pytest.mark.parametrize("name", ["", "1-2-0123456789abcdef", "0123456789abcdef", "../../etc/passwd", "x" * 5000])
def test_a_name_that_is_no_handover_runs_nothing(name: str) -> None:
    """Whatever a hook claims, no file but a handover's is touched."""

    async def story() -> None:
        async with scene() as found:
            answer = await found.ask(*RUN, ("again", name))
            assert (outcome(answer)[0], answer.text("exit")) == ("exit", "255")

    asyncio.run(story())
