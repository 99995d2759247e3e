"""What happens while a session is being decided, which takes seconds where the gateway is slow."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from hoopjump.audit.events import Kind
from hoopjump.config.tokens import TokenIssuerSection
from hoopjump.daemon import preflight, sessions, wire
from hoopjump.daemon.tokens import Tokens
from hoopjump.decision.certificate import Certificate
from hoopjump.decision.jwk import KeySet, parse_key
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token_mark import TokenMark
from hoopjump.decision.values import LoginRequest, Presented, RefusedToken, Token, Verdict
from hoopjump.keys.freshness import Validator
from hoopjump.keys.keysets import KeySets
from hoopjump.keys.sources import Loaded
from tests.daemon.yard import eventually
from tests.daemon_sessions.scene import ALICE, IDP, Scene, outcome, scene, token_settings
from tests.keys.provider import TokenKey

SETTINGS = token_settings(f"{IDP}/jwks")
GOOD = Token(IDP, "s", ALICE.email, "email", (), int(time.time()) + 86400, "jti-1", TokenMark(IDP, "jti-1"))
SESSION = (("command", "mybash"), ("tty", "/dev/pts/1"))


class Place:
    """A scene whose logins are judged when ``judged`` is set, and whose provider answers when ``told`` is."""

    def __init__(self, found: Scene) -> None:
        self.scene = found
        self.judging = asyncio.Event()
        self.judged = asyncio.Event()
        self.told = threading.Event()
        self.told.set()
        self.key = TokenKey("first")
        self.keys = KeySets(found.config.tokens.issuer, load=self._load)
        self.tokens = Tokens(self.keys)
        found.sessions._tokens = self.tokens
        found.sessions._judge = self._judge

    def token(self) -> bytes:
        now = int(time.time())
        said = {"iss": IDP, "aud": "hoopjump", "sub": "s", "email": ALICE.email, "iat": now, "exp": now + 300}
        return self.key.sign({**said, "jti": "jti-1"})

    def _load(self, _section: TokenIssuerSection, _validator: Validator | None) -> Loaded:
        self.told.wait(60)
        return Loaded(KeySet.of(parse_key(self.key.jwk)), None, 600)

    async def _judge(self, request: LoginRequest, certificate: Certificate, seconds: float) -> Verdict:
        self.judging.set()
        await self.judged.wait()
        return self.scene.verdict


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    async with scene(SETTINGS) as found:
        made = Place(found)
        try:
            yield made
        finally:
            made.told.set()
            made.tokens.stop()


def test_a_key_dropped_while_the_user_is_looked_up_starts_no_session() -> None:
    """At once means at once: not the one that is being decided either, and the login has nothing of the token."""

    async def story() -> None:
        async with place() as found:
            asking = asyncio.ensure_future(found.scene.ask(*SESSION, ("token", found.token())))
            await found.judging.wait()
            await eventually(lambda: bool(found.keys.rows()[0]["keys"]))
            assert found.keys.drop("first") == [IDP]
            found.judged.set()
            assert outcome(await asking) == ("refuse", "token-key-dropped")
            assert found.scene.login.admission.tokens == ()
            assert found.scene.events(Kind.SESSION_STARTED) == []

    asyncio.run(story())


def test_a_key_dropped_while_the_role_is_looked_up_starts_no_session() -> None:
    """Nor where only that took long."""

    async def story() -> None:
        async with place() as found:
            found.judged.set()
            found.scene.gateway.hold = threading.Event()
            asking = asyncio.ensure_future(found.scene.ask(*SESSION, ("token", found.token())))
            await eventually(lambda: bool(found.scene.sessions._preflight._flights))
            assert found.keys.drop("first") == [IDP]
            found.scene.gateway.hold.set()
            assert outcome(await asking) == ("refuse", "token-key-dropped")
            assert found.scene.events(Kind.SESSION_STARTED) == []

    asyncio.run(story())


def test_what_goes_while_the_gateways_port_is_looked_at_starts_no_session() -> None:
    """The last thing that is waited for."""

    async def story() -> None:
        async with place() as found:
            found.judged.set()
            looking, looked = asyncio.Event(), asyncio.Event()

            async def fault() -> None:
                looking.set()
                await looked.wait()

            found.scene.reach.fault = fault  # type: ignore[method-assign]
            asking = asyncio.ensure_future(found.scene.ask(*SESSION, ("token", found.token())))
            await looking.wait()
            assert found.keys.drop("first") == [IDP]
            looked.set()
            assert outcome(await asking) == ("refuse", "token-key-dropped")
            assert found.scene.events(Kind.HANDOFF_ISSUED) == []

    asyncio.run(story())


@pytest.mark.parametrize("own", [True, False])
def test_the_certificates_token_must_go_on_counting_as_well(own: bool) -> None:
    """Also where the session has one of its own."""

    class Both:
        async def environment(self, token: bytes | None, seconds: float) -> Presented:
            return None if token is None else GOOD

        async def embedded(self, certificate: Certificate, seconds: float) -> Presented:
            return RefusedToken(Reason.TOKEN_KEY_DROPPED, "kid 'first'")

    async def story() -> None:
        async with place() as found:
            tokens: Any = Both()
            found.scene.sessions._tokens = tokens
            found.scene.verdict = replace(found.scene.verdict, token=GOOD)
            found.judged.set()
            brought = (("token", b"x"),) if own else ()
            assert outcome(await found.scene.ask(*SESSION, *brought)) == ("refuse", "token-key-dropped")

    asyncio.run(story())


def test_a_token_that_ends_meanwhile_refuses_its_session_and_ends_no_login() -> None:
    """Its end must not become the login's: others are at work there."""

    class Ending:
        async def environment(self, token: bytes | None, seconds: float) -> Presented:
            if token is None:
                return None
            if not seconds:
                return RefusedToken(Reason.TOKEN_EXPIRED, "ended")
            return Token(IDP, "s", ALICE.email, "email", (), int(time.time()), "jti", TokenMark(IDP, "jti"))

    async def story() -> None:
        async with place() as found:
            tokens: Any = Ending()
            found.scene.sessions._tokens = tokens
            found.judged.set()
            before = found.scene.login.admission
            assert outcome(await found.scene.ask(*SESSION, ("token", b"x"))) == ("refuse", "token-expired")
            assert found.scene.login.admission == before
            assert outcome(await found.scene.ask(*SESSION))[0] == "exec"

    asyncio.run(story())


def test_a_provider_that_hangs_is_not_taken_for_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the reason looks in the right place."""
    monkeypatch.setattr(sessions, "WHO_SECONDS", 0.2)

    async def story() -> None:
        async with place() as found:
            found.judged.set()
            found.told.clear()
            answer = await found.scene.ask(*SESSION, ("token", found.token()))
            assert outcome(answer) == ("refuse", "token-keys-unavailable")

    asyncio.run(story())


def test_who_has_gone_meanwhile_gets_no_session() -> None:
    """No certificate is made for a hook that was interrupted."""
    hook = (
        "import socket, sys; s = socket.socket(1); s.connect(sys.argv[1]); "
        "s.sendall(bytes.fromhex(sys.argv[2])); sys.stdin.read()"
    )

    async def story() -> None:
        async with place() as found:
            frame = wire.encode([("verb", "session"), *SESSION, ("user-auth", found.scene.user_auth)])
            argv = ["-ISc", hook, str(found.scene.config.daemon.socket), frame.hex()]
            asking = await asyncio.create_subprocess_exec(sys.executable, *argv, stdin=subprocess.PIPE)
            await found.judging.wait()
            asking.kill()
            await asking.wait()
            found.judged.set()
            await eventually(lambda: not found.scene.server._tasks)
            assert found.scene.sink.events == []

    asyncio.run(story())


def test_questions_about_roles_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names somebody makes up while the gateway hangs; another user has his own."""
    monkeypatch.setattr(preflight, "WAITING", 4)
    monkeypatch.setattr(sessions, "ANSWER_SECONDS", 0.5)

    async def story() -> None:
        async with place() as found:
            found.judged.set()
            found.scene.gateway.hold = threading.Event()
            crowd = [found.scene.ask(("command", f"role{number}")) for number in range(10)]
            assert {outcome(answer) for answer in await asyncio.gather(*crowd)} == {("refuse", "gateway-slow")}
            flights = found.scene.sessions._preflight._flights
            assert len(flights) == 4
            details = [event.fields.get("detail") for event in found.scene.events(Kind.SESSION_REFUSED)]
            assert details.count("4 questions about roles of this user wait already") == 6
            found.scene.gateway.hold.set()
            await eventually(lambda: not flights)

    asyncio.run(story())
