"""Logins whose tokens are taken back end with all that is theirs, and no others do, whatever becomes of a list.

The monitors are processes that stand for sshd's; tests/bastion has the real ones.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from hoopjump.audit.events import Kind
from hoopjump.daemon.endings import Endings
from hoopjump.daemon.login import TOKENS_LIMIT, Login, State
from hoopjump.daemon.revocations import Revocations, SigningKey
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token_mark import TokenMark
from hoopjump.decision.values import Token
from hoopjump.keys.revoked import RevokedTokens
from tests.daemon.yard import ALICE, Yard, eventually, yard

IDP, CA = "https://idp.example.com", "https://ca.example.com"
KEY = SigningKey("key-1", frozenset({(IDP, "print-1")}))


class Town:
    """A yard whose logins have tokens, and a list of revoked ones for each of two issuers."""

    def __init__(self, place: Yard) -> None:
        self.place = place
        self.listed = place.directory / "revoked"
        self.others = place.directory / "revoked-by-ca"
        for path in (self.listed, self.others):
            path.write_text("# nobody yet\n")
            path.chmod(0o644)
        self.now = 0.0
        self.begin()

    def begin(self) -> None:
        """As a daemon does at its start."""
        self.revocations = Revocations(
            self.place.table,
            RevokedTokens({IDP: self.listed, CA: self.others}),
            self.place.watch.cut,
            seconds=0.02,
            clock=lambda: self.now,
        )

    async def login(self, *tokens: TokenMark) -> Login:
        """An open login that these have let in."""
        _, login = await self.place.admitted()
        for token in tokens:
            self.bring(login, token)
        self.place.watch.open(login)
        return login

    def bring(self, login: Login, token: TokenMark) -> None:
        """A session of the login has brought a token."""
        deadline = login.admission.deadline or 0
        found = Token(token.issuer, ALICE.subject, ALICE.email, "email", (), deadline, token.token_id, token)
        self.place.watch.bind(login, found)

    def cuts(self) -> dict[str, str]:
        """Which logins were cut, and why."""
        events = (event for event in self.place.sink.events if event.kind is Kind.LOGIN_CUT)
        return {event.fields["login"]: event.fields["reason"] for event in events}


@asynccontextmanager
async def town() -> AsyncIterator[Town]:
    async with yard() as place:
        yield Town(place)


def test_a_listed_token_ends_the_logins_it_has_let_in_and_no_others() -> None:
    """Also one that a session has brought later, and one that was issued for it; not another issuer's of that name."""

    async def story() -> None:
        async with town() as found:
            ended = [
                await found.login(TokenMark(IDP, "stolen")),
                await found.login(TokenMark(IDP, "first"), TokenMark(IDP, "stolen")),
                await found.login(TokenMark(CA, "other", original_issuer=IDP, original_id="stolen")),
            ]
            stay = [
                await found.login(),
                await found.login(TokenMark(IDP, "kept"), TokenMark(IDP, None)),
                await found.login(TokenMark(CA, "stolen", original_issuer=IDP, original_id="kept")),
                await found.login(TokenMark("https://else.example.com", "stolen")),
            ]
            await found.revocations.look()
            assert found.cuts() == {}
            found.listed.write_text("stolen\n")
            await found.revocations.look()
            assert found.cuts() == {login.ref: "token-revoked" for login in ended}
            assert all(login.cut is Reason.TOKEN_REVOKED for login in ended)
            await eventually(lambda: all(login.state is State.CLOSED for login in ended))
            assert all(login.live for login in stay)
            (event,) = [one for one in found.place.sink.events if one.fields.get("login") == ended[0].ref][-2:-1]
            assert (event.kind, event.fields["detail"]) == (
                Kind.LOGIN_CUT,
                "jti 'stolen' of a token of 'https://idp.example.com'",
            )

    asyncio.run(story())


def test_what_was_taken_back_while_no_daemon_ran_ends_too() -> None:
    """What a login was let in by stands in its file."""

    async def story() -> None:
        async with town() as found:
            ended = await found.login(TokenMark(CA, "other", original_issuer=IDP, original_id="stolen"))
            stays = await found.login(TokenMark(IDP, "kept"))
            await found.place.stop()
            found.listed.write_text("stolen\n")
            found.place.table = type(found.place.table)(found.place.directory / "logins")
            await found.place.start()
            found.begin()
            found.revocations.start()
            await eventually(lambda: found.cuts() == {ended.ref: "token-revoked"})
            await found.revocations.stop()
            (left,) = [login for login in found.place.table if login.live]
            assert left.ref == stays.ref

    asyncio.run(story())


def test_why_a_login_is_being_ended_outlives_the_daemon() -> None:
    """A monitor that takes its time is ended by the next one, and its sessions read the same reason."""

    async def story() -> None:
        async with town() as found:
            monitor, login = await found.place.admitted()
            await monitor.tell("deaf")
            found.bring(login, TokenMark(IDP, "stolen"))
            found.listed.write_text("stolen\n")
            login.cut = Reason.TOKEN_REVOKED
            found.place.table.put(login)
            await found.place.restart()
            (again,) = found.place.table
            assert (again.cut, again.live) == (Reason.TOKEN_REVOKED, False)

    asyncio.run(story())


@pytest.mark.parametrize("harm", ["gone", "open to others", "no text", "too large", "cut short", "a directory"])
def test_a_list_that_cannot_be_read_whole_ends_nobody(harm: str) -> None:
    """An accident, or somebody who wants everybody locked out; once it can be read again, it counts again."""

    async def story() -> None:
        async with town() as found:
            login = await found.login(TokenMark(IDP, "tok-1"))
            found.listed.unlink()
            if harm == "a directory":
                found.listed.mkdir()
            elif harm != "gone":
                size = 200_000 if harm == "too large" else 1
                text = {"no text": b"tok-1\n\xff\n", "cut short": b"tok-0\ntok-1"}.get(harm, b"tok-1\n" * size)
                found.listed.write_bytes(text)
                found.listed.chmod(0o666 if harm == "open to others" else 0o644)
            for _ in range(3):
                await found.revocations.look()
            assert found.cuts() == {}
            assert login.live
            if harm == "a directory":
                found.listed.rmdir()
            fresh = found.listed.with_suffix(".new")
            fresh.write_text("tok-0\ntok-1\n")
            fresh.chmod(0o644)
            os.replace(fresh, found.listed)  # noqa: PTH105
            await found.revocations.look()
            assert found.cuts() == {login.ref: "token-revoked"}

    asyncio.run(story())


def test_a_name_that_is_taken_off_the_list_ends_nobody_any_more() -> None:
    """Who was ended stays so; who logs in with that token afterwards goes on."""

    async def story() -> None:
        async with town() as found:
            before = await found.login(TokenMark(IDP, "lost"))
            found.listed.write_text("lost\n")
            await found.revocations.look()
            found.listed.write_text("")
            await found.revocations.look()
            after = await found.login(TokenMark(IDP, "lost"))
            await found.revocations.look()
            assert found.cuts() == {before.ref: "token-revoked"}
            assert after.live

    asyncio.run(story())


def test_a_login_that_was_decided_before_its_token_was_listed_is_ended_too() -> None:
    """The list has not changed since it was looked at; the login is new."""

    async def story() -> None:
        async with town() as found:
            found.listed.write_text("stolen\n")
            await found.revocations.look()
            late = await found.login(TokenMark(IDP, "stolen"))
            await found.revocations.look()
            assert found.cuts() == {late.ref: "token-revoked"}

    asyncio.run(story())


def test_one_login_that_cannot_be_ended_spares_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon without a free descriptor tries again; looking goes on."""
    failures = [OSError(24, "Too many open files")]
    end = Endings.end

    def fail(self: Endings, *given: object) -> None:
        if failures:
            raise failures.pop()
        end(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Endings, "end", fail)

    async def story() -> None:
        async with town() as found:
            both = [await found.login(TokenMark(IDP, "stolen")) for _ in range(2)]
            found.listed.write_text("stolen\n")
            await found.revocations.look()
            assert found.cuts() == {login.ref: "token-revoked" for login in both}
            assert not failures
            await eventually(lambda: any(login.state is State.CLOSED for login in both))

    asyncio.run(story())


def test_others_have_their_turn_between_logins_of_many_tokens() -> None:
    """A user may have brought a hundred to each of many connections."""

    async def story() -> None:
        async with town() as found:
            for connection in range(6):
                await found.login(*(TokenMark(IDP, f"{connection}-{number}") for number in range(TOKENS_LIMIT)))
            found.listed.write_text("stolen\n")
            await found.revocations.look()
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            async def turns_during(key: SigningKey) -> int:
                nonlocal turns
                turns = 0
                assert await found.revocations.end(key, "by uid 0") == 0
                return turns

            waiting = asyncio.create_task(other())
            await asyncio.sleep(0)
            few = await turns_during(KEY)
            assert few >= 1
            for number in range(9):
                last = await turns_during(SigningKey(f"other-{number}", frozenset({(IDP, f"other-{number}")})))
            assert last > few
            waiting.cancel()
            await asyncio.wait([waiting])

    asyncio.run(story())


# -- Keys --------------------------------------------------------------------------------------------------------------


def test_the_logins_of_a_key_are_counted_and_ended() -> None:
    """Of the issuers that have it, by thumbprint or name; the same name of another issuer's is another key."""

    async def story() -> None:
        async with town() as found:
            ended = [
                await found.login(TokenMark(IDP, "a", "print-1", "key-1")),
                await found.login(TokenMark(IDP, "b", "print-1", "another-name")),
                await found.login(TokenMark(IDP, "c", "an-earlier-print", "key-1")),
                await found.login(TokenMark(IDP, "d", "print-2", "key-2"), TokenMark(IDP, "e", "print-1", "key-1")),
            ]
            stay = [
                await found.login(TokenMark(IDP, "f", "print-2", "key-2")),
                await found.login(TokenMark(CA, "g", "print-3", "key-1")),
                await found.login(TokenMark(IDP, "h")),
                await found.login(),
            ]
            assert found.revocations.let_in(KEY) == 4
            await found.revocations.look()
            assert found.cuts() == {}
            assert await found.revocations.end(KEY, "ended by uid 0") == 4
            assert found.cuts() == {login.ref: "token-key-dropped" for login in ended}
            assert all(login.live for login in stay)
            assert found.revocations.let_in(KEY) == 0

    asyncio.run(story())


def test_a_key_that_has_left_its_set_is_known_by_its_name() -> None:
    """Its provider was faster than the administrator."""

    async def story() -> None:
        async with town() as found:
            login = await found.login(TokenMark(IDP, "a", "print-1", "key-1"))
            assert found.revocations.let_in(SigningKey("key-2")) == 0
            assert [found.revocations.let_in(SigningKey(name)) for name in ("key-1", "print-1")] == [1, 1]
            await found.revocations.end(SigningKey("print-1"), "ended by uid 0")
            assert found.cuts() == {login.ref: "token-key-dropped"}

    asyncio.run(story())


def test_a_login_that_was_decided_before_its_key_was_dropped_is_ended_too() -> None:
    """Its admission may be a moment late; later on its key is verified, and may have been taken back into use."""

    async def story() -> None:
        async with town() as found:
            token = TokenMark(IDP, "a", "print-1", "key-1")
            await found.revocations.end(KEY, "ended by uid 0")
            late = await found.login(token)
            await found.revocations.look()
            assert found.cuts() == {late.ref: "token-key-dropped"}
            found.revocations.forget(replace(KEY, name="print-1"))
            again = await found.login(token)
            await found.revocations.look()
            assert again.live
            await found.revocations.end(replace(KEY, name="else", prints=frozenset({(CA, "print-9")})), "")
            found.now += 60
            later = await found.login(TokenMark(CA, "z", "print-9", "else"))
            await found.revocations.look()
            assert later.live

    asyncio.run(story())


def test_looking_goes_on_after_a_fault(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody would notice that it had stopped."""
    faults: list[Exception] = []
    look = RevokedTokens.look

    def fail(self: RevokedTokens) -> None:
        if faults:
            raise faults.pop()
        look(self)

    monkeypatch.setattr(RevokedTokens, "look", fail)

    async def story() -> None:
        async with town() as found:
            login = await found.login(TokenMark(IDP, "stolen"))
            faults.append(RuntimeError("a fault of ours"))
            found.revocations.start()
            found.listed.write_text("stolen\n")
            await eventually(lambda: login.state is State.CLOSED)
            await found.revocations.stop()
            assert "a fault of ours" in caplog.text

    asyncio.run(story())
