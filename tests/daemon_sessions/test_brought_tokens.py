"""Tokens that sessions bring: the login keeps what each is taken back by, and no more of them than it can."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from hoopjump.daemon.login import TOKENS_LIMIT
from hoopjump.daemon.logins import LoginTable
from hoopjump.decision.token_mark import TokenMark
from hoopjump.decision.values import Presented, Token
from tests.daemon_sessions.scene import ALICE, IDP, Scene, outcome, scene, token_settings

SETTINGS = token_settings("file:/nonexistent")
LIST = ("command", "mybash")


class AllGood:
    """Every token is a good one of alice's, and its text its `jti`."""

    async def environment(self, token: bytes | None, seconds: float) -> Presented:
        if token is None:
            return None
        name = token.decode()
        return Token(IDP, "s", ALICE.email, "email", (), int(time.time()) + 600, name, TokenMark(IDP, name))


def with_tokens(found: Scene) -> None:
    tokens: Any = AllGood()
    found.sessions._tokens = tokens


def names(found: Scene) -> list[str | None]:
    return [token.token_id for token in found.login.admission.tokens]


def test_a_login_keeps_each_token_once() -> None:
    """Also one whose session came to nothing: it has let the session in as far as that."""

    async def story() -> None:
        async with scene(SETTINGS) as found:
            with_tokens(found)
            for name in ("first", "second", "first"):
                assert outcome(await found.ask(LIST, ("tty", "/dev/pts/1"), ("token", name)))[0] == "exec"
            assert outcome(await found.ask(("command", "pgdmo"), ("token", "third"))) == ("refuse", "role-unknown")
            assert names(found) == ["first", "second", "third"]

    asyncio.run(story())


def test_more_tokens_than_can_be_kept_let_no_session_in() -> None:
    """The attack: a stolen token comes first, and so many others after it that it is forgotten."""

    async def story() -> None:
        async with scene(SETTINGS) as found:
            with_tokens(found)
            found.change(tokens=tuple(TokenMark(IDP, f"jti-{number}") for number in range(TOKENS_LIMIT)))
            before = names(found)
            answer = await found.ask(LIST, ("token", "one more"))
            assert outcome(answer) == ("refuse", "token-too-many")
            assert names(found) == before
            assert outcome(await found.ask(LIST, ("tty", "/dev/pts/1"), ("token", "jti-0")))[0] == "exec"

    asyncio.run(story())


def test_what_is_kept_of_a_token_outlives_the_daemon() -> None:
    """Names only: neither the token nor its signature is in the login's file."""

    async def story() -> None:
        async with scene(SETTINGS) as found:
            full = TokenMark(IDP, "jti-1", "print", "key-1", "https://first.example.com", "jti-0")
            found.change(tokens=(full, TokenMark(IDP)))
            found.table.put(found.login)
            again = LoginTable(found.directory / "logins")
            assert again.load() == []
            assert [login.admission for login in again] == [found.login.admission]

    asyncio.run(story())
