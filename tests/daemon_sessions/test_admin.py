"""What administrators are told."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from hoopjump.audit.events import Kind
from hoopjump.daemon import admin
from hoopjump.daemon.login import TOKENS_LIMIT
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.processes import Process
from hoopjump.daemon.wire import Message
from hoopjump.decision.token_mark import TokenMark
from tests.daemon_sessions.scene import Scene, outcome, scene


def value(message: Message) -> Any:
    assert outcome(message)[0] == "ok"
    return json.loads(message.text("json") or "")


def test_logins_are_listed_with_what_is_known() -> None:
    """Who, from where, with which certificate, since when and until when; control characters are escaped."""

    async def story() -> None:
        async with scene() as found:
            found.change(certificate=found.new_certificate(key_id="alice\x1b[2J"))
            (row,) = value(await found.administer("logins"))
            assert row["login"] == "login234"
            assert (row["account"], row["user"], row["source"]) == ("hoop", "alice@x.io", "192.0.2.7")
            assert (row["state"], row["access"], row["reason"]) == ("open", "allow", "allowed")
            assert row["deadline"] == found.login.admission.deadline
            assert row["monitor"] == found.login.monitor.pid
            assert row["certificate"] == {"serial": "42", "key_id": "alice\\x1b[2J"}
            assert row["tokens"] == []

    asyncio.run(story())


def test_the_address_that_a_session_told_is_shown_as_such() -> None:
    """Where sshd does not tell the client's address: the first session's word for it, which decides nothing."""

    async def story() -> None:
        async with scene() as found:
            found.change(source=None)
            for connection in ("nonsense", "198.51.100.9 40000 192.0.2.1 22", "203.0.113.1 40000 192.0.2.1 22"):
                await found.ask(("command", "mybash ls"), ("connection", connection))
            found.table.put(found.login)
            again = LoginTable(found.directory / "logins")
            again.load()
            (row,) = value(await found.administer("logins"))
            assert (row["source"], row["told_source"]) == (None, "198.51.100.9")
            assert [login.told_source for login in again] == ["198.51.100.9"]
            assert {request.source for request in found.judged} == {None}

    asyncio.run(story())


def test_logins_are_listed_with_what_their_tokens_are_taken_back_by() -> None:
    """Names alone, and bounded: as many as a login may have fit one answer, however long an issuer makes them."""

    async def story() -> None:
        async with scene() as found:
            plain = TokenMark("https://idp.example.com", "jti-1", "thumbprint", "key-1")
            longest = [TokenMark(*[f"{number:03}" + '"' * 125 for _ in range(6)]) for number in range(TOKENS_LIMIT - 1)]
            found.change(tokens=(plain, *longest))
            (row,) = value(await found.administer("logins"))
            assert len(row["tokens"]) == TOKENS_LIMIT
            assert row["tokens"][0] == {
                "issuer": "https://idp.example.com",
                "token_id": "jti-1",
                "key": "thumbprint",
                "kid": "key-1",
            }

    asyncio.run(story())


def test_a_long_list_comes_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of logins do not fit one frame; asking on gives every one of them once."""
    monkeypatch.setattr(admin, "ANSWER_LIMIT", 2000)

    async def story() -> None:
        async with scene() as found:
            for number in range(20):
                login = found.new_login(Process(100_000 + number, 1))
                login.ref = f"login{number:03}"
                login.admitted_at = time.time() + number // 3
            rows: list[dict[str, Any]] = value(await found.administer("logins"))
            pages = 1
            while rows[-1].pop("more", False):
                after = f"{rows[-1]['admitted_at']} {rows[-1]['login']}"
                rows += value(await found.administer("logins", ("after", after)))
                pages += 1
            assert pages > 2
            assert sorted(row["login"] for row in rows) == sorted(login.ref for login in found.table)

    asyncio.run(story())


def test_a_login_can_be_ended() -> None:
    """The login is cut in the administrator's name; an unknown one is said to be."""

    async def story() -> None:
        async with scene() as found:
            assert value(await found.administer("end", ("login", "login234"))) == {"login": "login234", "found": True}
            ((login, detail),) = found.watch.cuts
            assert login is found.login
            assert detail.startswith("ended by uid ")
            (row,) = value(await found.administer("logins"))
            assert row["ending"] is True
            assert value(await found.administer("end", ("login", "nobody"))) == {"login": "nobody", "found": False}

    asyncio.run(story())


def test_a_reference_is_explained_with_its_login() -> None:
    """A session's reference gives its own events, and those of the login that it belongs to."""

    async def story() -> None:
        async with scene() as found:
            found.audit.record(Kind.ADMITTED, "login234", login="login234", account="hoop")
            answer = await found.ask(("command", "pgdmo"))
            found.keep_trail()
            ref = answer.text("ref") or ""
            told = value(await found.administer("explain", ("ref", ref)))
            assert [event["kind"] for event in told["events"]] == ["session-refused"]
            assert told["events"][0]["reason"] == "role-unknown"
            assert [event["kind"] for event in told["of_login"]] == ["admitted"]
            assert (told["login"], told["fault"]) == (None, None)

    asyncio.run(story())


def test_a_logins_reference_is_explained_by_the_table_too() -> None:
    """While the login lives, its state is told beside its events."""

    async def story() -> None:
        async with scene() as found:
            told = value(await found.administer("explain", ("ref", "login234")))
            assert told["login"]["state"] == "open"
            assert (told["events"], told["of_login"]) == ([], [])

    asyncio.run(story())


def test_an_explanation_is_cut_to_what_an_answer_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest events are told."""
    monkeypatch.setattr(admin, "ANSWER_LIMIT", 1000)

    async def story() -> None:
        async with scene() as found:
            for number in range(50):
                found.audit.record(Kind.ADMITTED, "aaaaaaaa", pid=number)
            found.keep_trail()
            told = value(await found.administer("explain", ("ref", "aaaaaaaa")))
            pids = [event["pid"] for event in told["events"]]
            assert pids == list(range(50 - len(pids), 50))
            assert 0 < len(pids) < 50

    asyncio.run(story())


def test_a_trail_that_cannot_be_read_is_said_to() -> None:
    """The fault stands in the answer; nothing breaks."""

    async def story() -> None:
        async with scene() as found:
            found.trail.mkdir()
            told = value(await found.administer("explain", ("ref", "aaaaaaaa")))
            assert told["events"] == []
            assert "audit.jsonl" in told["fault"]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("verb", "pairs"), [("end", ()), ("explain", ()), ("explain", (("ref", ""),)), ("logins", (("after", "x y"),))]
)
def test_questions_without_their_key_are_refused(verb: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """A protocol error, not a crash."""

    async def story(found: Scene) -> None:
        assert outcome(await found.administer(verb, *pairs)) == ("refuse", "protocol")

    async def play() -> None:
        async with scene() as found:
            await story(found)

    asyncio.run(play())
