"""Tokens of logins, verified beside the event loop: in time, anew for each question, and at an end of their own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hoopjump.audit.events import Kind
from hoopjump.config import TokenIssuerSection, TokensSection
from hoopjump.daemon.policy import PolicySource
from hoopjump.daemon.principals import Principals
from hoopjump.daemon.tokens import Tokens
from hoopjump.decision.certificate import Certificate, parse_certificate
from hoopjump.decision.jwk import KeySet, parse_key
from hoopjump.decision.presented import EXTENSION, key_thumbprint
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token_mark import TokenMark
from hoopjump.decision.values import Access, LoginRequest, Presented, RefusedToken, Token
from hoopjump.decision.wire import encode_string
from hoopjump.handoff.issue import CertificateSpec, issue
from hoopjump.keys.freshness import Validator
from hoopjump.keys.keysets import KeySets
from hoopjump.keys.sources import Loaded
from tests.daemon.yard import ALICE, Yard, eventually, yard
from tests.keys.provider import TokenKey

ISSUER = "https://ca.example.com"
LONG = 20.0  # seconds


class Provider:
    """An issuer whose keys come when the ``gate`` is open."""

    def __init__(self, issuer: str = ISSUER, *, bound: bool = True) -> None:
        self.key = TokenKey("first")
        self.gate = threading.Event()
        self.gate.set()
        self.asked = 0
        self.section = TokenIssuerSection(
            issuer=issuer, audiences=("hoopjump",), bound=bound, user_attribute="email", leeway=0
        )

    def load(self, _section: TokenIssuerSection, _validator: Validator | None) -> Loaded:
        self.asked += 1
        self.gate.wait(60)
        return Loaded(KeySet.of(parse_key(self.key.jwk)), None, 600)

    @contextmanager
    def tokens(self, **more: Any) -> Iterator[Tokens]:
        found = Tokens(KeySets([self.section], load=self.load), **more)
        try:
            yield found
        finally:
            self.gate.set()
            found.stop()

    def token(self, ends: int, **claims: Any) -> bytes:
        now = int(time.time())
        usual = {
            "iss": self.section.issuer,
            "aud": "hoopjump",
            "sub": ALICE.email,
            "iat": now,
            "exp": ends,
            "jti": "jti-1",
        }
        return self.key.sign({**usual, **claims})


def soon(seconds: float = 300) -> int:
    return int(time.time() + seconds)


def with_token(place: Yard, provider: Provider, ends: int) -> Certificate:
    """A certificate of alice's that holds a token bound to its key."""
    plain = parse_certificate(place.authority.certificate(ALICE.email))
    token = provider.token(ends, cnf={"jkt": key_thumbprint(plain.key)})
    extensions = (*plain.extensions, (EXTENSION, encode_string(token)))
    spec = CertificateSpec(
        public_key=plain.public_key,
        key_id=plain.key_id,
        principals=plain.principals,
        valid_after=plain.valid_after,
        valid_before=plain.valid_before,
        extensions=tuple(sorted(extensions)),
    )
    return parse_certificate(issue(spec, place.authority.signer))


def brought(ends: int, name: str) -> Token:
    """One that a session has brought."""
    return Token(ISSUER, ALICE.subject, ALICE.email, "email", (), ends, name, TokenMark(ISSUER, name))


def test_an_answer_does_not_wait_for_a_slow_provider_which_answers_the_next_login() -> None:
    """The hook has not long."""

    async def story() -> None:
        provider = Provider(bound=False)
        provider.gate.clear()
        with provider.tokens() as tokens:
            token = provider.token(soon())
            late = await tokens.environment(token, 0.05)
            assert isinstance(late, RefusedToken)
            assert late.reason is Reason.TOKEN_KEYS_UNAVAILABLE
            provider.gate.set()
            answers: list[Presented] = []

            async def again() -> bool:
                answers.append(await tokens.environment(token, LONG))
                return isinstance(answers[-1], Token)

            async with asyncio.timeout(20):
                while not await again():  # noqa: ASYNC110 - the answer comes to another thread
                    await asyncio.sleep(0.01)
            assert provider.asked == 1

    asyncio.run(story())


def test_a_slow_provider_holds_up_no_other() -> None:
    """However many tokens name keys that only it could know."""

    async def story() -> None:
        slow, quick = (
            Provider("https://slow.example.com", bound=False),
            Provider("https://quick.example.com", bound=False),
        )
        slow.gate.clear()
        load = {one.section.issuer: one.load for one in (slow, quick)}
        keys = KeySets(
            [slow.section, quick.section], load=lambda section, validator: load[section.issuer](section, validator)
        )
        tokens = Tokens(keys)
        crowd = [asyncio.create_task(tokens.environment(slow.token(soon(), jti=f"{one}"), LONG)) for one in range(50)]
        try:
            await eventually(lambda: slow.asked == 1)
            assert isinstance(await tokens.environment(quick.token(soon()), LONG), Token)
            assert not any(one.done() for one in crowd)
            slow.gate.set()
            assert all(isinstance(one, Token) for one in await asyncio.gather(*crowd))
            assert slow.asked == 1
        finally:
            slow.gate.set()
            tokens.stop()

    asyncio.run(story())


def test_without_a_token_nothing_is_asked() -> None:
    """Neither in the environment nor in the certificate."""

    async def story() -> None:
        provider = Provider()
        async with yard() as place:
            with provider.tokens() as tokens:
                certificate = parse_certificate(place.authority.certificate(ALICE.email))
                assert (await tokens.environment(None, LONG), await tokens.embedded(certificate, LONG)) == (None, None)
        assert provider.asked == 0

    asyncio.run(story())


def test_a_token_that_ends_between_the_two_hooks_starts_no_session() -> None:
    """The session's hook has the login judged anew, by the clock as it is then."""

    async def story() -> None:
        provider = Provider()
        moment = time.time()
        async with yard() as place:
            with provider.tokens(clock=lambda: moment) as tokens:
                tokens_section = TokensSection(session="required", forward="required", issuer=(provider.section,))
                config = place.config.model_copy(update={"tokens": tokens_section})
                principals = Principals(
                    PolicySource(config),
                    place.principals._lookups,
                    place.table,
                    place.watch,
                    place.audit,
                    rootless=config.sshd.rootless,
                    tokens=tokens,
                    clock=lambda: moment,
                )
                certificate = with_token(place, provider, int(moment) + 30)
                attempt = LoginRequest(place.uids.name)
                first = await principals.judge(attempt, certificate, LONG)
                assert (first.access, first.deadline) == (Access.ALLOW, int(moment) + 30)
                assert "port-forwarding" in (first.line or "")
                moment += 31
                second = await principals.judge(attempt, certificate, LONG)
                assert (second.access, second.reason) == (Access.HOLD, Reason.TOKEN_EXPIRED)
                assert "port-forwarding" not in (second.line or "")

    asyncio.run(story())


def test_a_login_is_cut_at_the_end_that_a_session_brought() -> None:
    """And not put off by a later one."""

    async def story() -> None:
        async with yard() as place:
            _, login = await place.opened()
            before = login.admission
            place.watch.bind(login, brought(soon(10**6), "first"))
            assert login.admission == replace(before, tokens=(TokenMark(ISSUER, "first"),))
            place.watch.bind(login, brought(soon(60), "second"))
            assert (login.admission.deadline or 0) < (before.deadline or 0)
            assert Kind.LOGIN_CUT not in place.sink.kinds()
            place.watch.bind(login, brought(int(time.time()), "first"))
            await eventually(lambda: Kind.LOGIN_CUT in place.sink.kinds())

    asyncio.run(story())
