"""Hostile tokens: each refused for its own reason, and what PyJWT, as a second opinion, says about them."""

from __future__ import annotations

import contextlib
import itertools
import json
from base64 import urlsafe_b64decode as b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoopjump.decision.jose import encode_segment, parse_object, parse_segment
from hoopjump.decision.jwk import Key, KeySet
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token import LATEST_DATE, TokenError, VerifiedToken, _believe, _judge, verify
from hoopjump.decision.token_policy import IssuerPolicy, TrustedIssuer, trust
from tests.hostile.tokens import signatures
from tests.hostile.tokens.forge import (
    AUDIENCE,
    DROP,
    ISSUER,
    ISSUERS,
    MAILING,
    NOW,
    SECRET,
    SHARING,
    SINGLE,
    claims,
    token,
)
from tests.hostile.tokens.table import HOSTILE

# Lists of revoked tokens are the configured issuers': tests/cli has those tokens refused.
UNLISTED = [name for name, hostile in HOSTILE.items() if hostile.code != Reason.TOKEN_REVOKED.code]


# The same issuers, of whom no more is asked than of most; then there is a shorter way through the claims.
PLAIN = trust(
    *(
        TrustedIssuer(replace(issuer.policy, longest_age=None, required=(), user_claim="sub"), issuer.keys)
        for issuer in ISSUERS.values()
    )
)
ASKED_FOR = {
    Reason.TOKEN_TOO_OLD.code,
    Reason.TOKEN_CLAIM_MISSING.code,
    Reason.TOKEN_USER_MISSING.code,
    Reason.TOKEN_EMAIL_UNVERIFIED.code,
}


def asked_for(name: str) -> bool:
    """Whether a hostile token is refused for what is asked of it beyond the usual."""
    return HOSTILE[name].code in ASKED_FOR or name.startswith("claim-user-")


def ours(candidate: bytes) -> VerifiedToken:
    return verify(candidate, ISSUERS, NOW)


@pytest.mark.parametrize(
    ("name", "issuers"),
    [
        *((name, ISSUERS) for name in UNLISTED),
        *((name, PLAIN) for name in UNLISTED if not asked_for(name)),
    ],
)
def test_a_hostile_token_is_refused_for_its_own_reason(name: str, issuers: Mapping[str, TrustedIssuer]) -> None:
    """And the detail is printable, bounded, and has nothing of the signature."""
    hostile = HOSTILE[name]
    with pytest.raises(TokenError) as refused:
        verify(hostile.token, issuers, NOW)
    assert refused.value.reason.code == hostile.code
    assert len(refused.value.detail) < 600
    assert refused.value.detail.isprintable()
    tail = hostile.token.rpartition(b".")[2][:400].decode("latin-1")
    assert len(tail) < 16 or tail not in refused.value.detail


# Not said by the verification of a token, but of where it stands, whose it is, and what keys there are.
ELSEWHERE = {
    Reason.TOKEN_KEY_DROPPED,
    Reason.TOKEN_KEYS_UNAVAILABLE,
    Reason.TOKEN_REQUIRED,
    Reason.TOKEN_TOO_MANY,
    Reason.TOKEN_MISPLACED,
    Reason.TOKEN_NOT_FOR_CERTIFICATES,
    Reason.TOKEN_UNBOUND,
    Reason.TOKEN_OTHER_KEY,
    Reason.TOKEN_OTHER_USER,
}


def test_the_table_is_long_and_has_every_reason_of_tokens() -> None:
    """At least 200 tokens, no two alike."""
    assert len(HOSTILE) >= 200
    assert len({hostile.token for hostile in HOSTILE.values()}) == len(HOSTILE)
    assert {hostile.code for hostile in HOSTILE.values()} == {
        reason.code for reason in Reason if reason.name.startswith("TOKEN_") and reason not in ELSEWHERE
    }


GOOD = {
    "eddsa": token(),
    "es256": token(key="p256"),
    "es384": token(key="p384"),
    "rs256": token(key="rsa"),
    "rs384": token(key="rsa", algorithm="RS384"),
    "rs512": token(key="rsa", algorithm="RS512"),
    "ps256": token(key="rsa", algorithm="PS256"),
    "hs256": token(claims(iss=SHARING), algorithm="HS256", secret=SECRET),
    "one key, unnamed": token(claims(iss=SINGLE), '{"alg":"EdDSA","typ":"at+jwt"}'),
    "one key, named by the token only": token(claims(iss=SINGLE), {"typ": "at+jwt"}),
    "typ at+jwt": token(None, {"typ": "at+jwt"}),
    "typ at+jwt in capitals, with application/": token(None, {"typ": "application/AT+JWT"}),
    "typ with application/": token(None, {"typ": "application/jwt"}),
    "no typ": token(None, '{"alg":"EdDSA","kid":"ed"}'),
    "spaced": token(json.dumps(claims())),
    "on many lines": token("\n" + json.dumps(claims(), indent=2) + "\r\n"),
    **{f"signature {number}": made for number, made in enumerate(signatures.good())},
    "an audience twice": token(claims(aud=[AUDIENCE, AUDIENCE])),
    "numbers beyond all machine words": token(claims(x=2**64, y=-(2**80), z=1e308)),
    "a name of 255 characters": token(claims(email="\u00e4" * 255)),
    "nbf minus zero": token(json.dumps(claims()).replace(f'"nbf": {NOW - 10}', '"nbf": -0')),
    "x5t and cty are not looked at": token(None, {"x5t": 1, "x5t#S256": "", "cty": "JWT", "zip": "DEF"}),
    "among other audiences": token(claims(aud=["somebody", AUDIENCE])),
    "nested": token(claims(realm_access={"roles": ["a", {"b": [1]}]})),
    "umlauts": token(claims(name="J\u00f6rg \U0001f600")),
    "umlauts in UTF-8": token(json.dumps(claims(name="J\u00f6rg \U0001f600"), ensure_ascii=False)),
    "colons": token(claims(x='a":b', y=":", z="{[::]}")),
    "expires this moment, within the leeway": token(claims(exp=NOW - 29)),
    "begins soon, within the leeway": token(claims(nbf=NOW + 30, iat=NOW + 30)),
    "a verified address": token(claims(iss=MAILING, email_verified=True)),
    "an address verified in text": token(claims(iss=MAILING, email_verified="true")),
    "an address of which nothing is said": token(claims(iss=MAILING)),
    "one group": token(claims(groups="admins")),
    "deep, and not too deep": token(claims(x=[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]])),
    "jku, jwk and x5u are not looked at": token(None, {"jku": "https://x", "x5u": 1, "jwk": {"kty": "none"}}),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_token_is_taken(name: str) -> None:
    """Else the table would prove nothing."""
    found = ours(GOOD[name])
    assert found.subject == "alice"
    assert found.user == ("alice@example.com" if found.issuer == MAILING else "alice")
    assert found.begins <= NOW < found.ends
    assert second_opinion(GOOD[name])


Judge = Callable[[dict[str, Any], IssuerPolicy, Key | None, float], VerifiedToken]


def judged(judge: Judge, said: Mapping[str, object], policy: IssuerPolicy, now: float) -> object:
    try:
        return judge(dict(said), policy, None, now)
    except TokenError as error:
        return error.reason, error.detail


def test_usual_dates_are_judged_as_all_others_are() -> None:
    """There is a short way for them."""
    edges = (-31, -30, -29, 0, 29, 30, 31)
    odd = (None, True, 1.0, "1", -1, 0, LATEST_DATE - 30, LATEST_DATE, LATEST_DATE + 1, 10**40)
    policy = PLAIN[ISSUER].policy

    def agree(moments: list[object], *clocks: float) -> int:
        taken = 0
        for exp, nbf, iat in itertools.product(moments, repeat=3):
            said = {**claims(), "exp": exp, "nbf": nbf, "iat": iat}
            for now in clocks:
                found = judged(_believe, said, policy, now)
                assert found == judged(_judge, said, policy, now), (said, now)
                taken += isinstance(found, VerifiedToken)
        return taken

    assert agree([*(NOW + edge for edge in edges), *odd], NOW, NOW + 0.5)
    # A clock that begins at 1970, one that stands where a sum is rounded up, and one at the end of all dates.
    power = 2**31
    for now, near in ((0.0, 0), (5.0, 0), (power - 2**-22, power), (LATEST_DATE - 40, LATEST_DATE - 30)):
        assert agree([near + edge for edge in (*edges, -5, -35, 5, 35)], now)


def test_what_a_header_comes_to_is_kept_once_it_was_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So nobody else can fill the place up, or have his own header stand for a key."""
    (issuer,) = issuers = [TrustedIssuer(ISSUERS[SINGLE].policy, ISSUERS[SINGLE].keys)]
    trusted = trust(*issuers)
    monkeypatch.setattr("hoopjump.decision.token.ROUTES_LIMIT", 2)

    def made(number: int, key: str = "ed") -> bytes:
        return token(claims(iss=SINGLE), {"typ": "at+jwt", "kid": DROP, "x": number}, key=key)

    for number in range(5):
        with pytest.raises(TokenError, match="token-bad-signature"):
            verify(made(number, "other"), trusted, NOW)
    assert issuer.routes == {}
    for number in range(5):
        assert verify(made(number), trusted, NOW).signer is verify(made(number), trusted, NOW).signer
    assert len(issuer.routes) == 2
    with pytest.raises(TokenError, match="token-bad-signature"):
        verify(made(0, "other"), trusted, NOW)


class Then(datetime):
    """PyJWT's clock, stopped at the moment that the tokens were made for."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Then:
        return cls.fromtimestamp(NOW, tz or UTC)


@pytest.fixture(autouse=True, scope="module")
def stopped_clock() -> Iterator[None]:
    """Both look at the same moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jwt.api_jwt.datetime", Then)
        yield


def second_opinion(candidate: bytes) -> bool:
    """Whether PyJWT takes a token, told all that it can be told of our rules."""
    try:
        unverified = pyjwt.decode_complete(candidate, options={"verify_signature": False})
        trusted = ISSUERS[unverified["payload"]["iss"]]
        key: Any = SECRET
        if isinstance(trusted.keys, KeySet):
            key = trusted.keys.find(unverified["header"].get("kid")).primitive
        pyjwt.decode(
            candidate,
            key=key,
            algorithms=sorted(trusted.policy.algorithms),
            audience=sorted(trusted.policy.audiences),
            issuer=trusted.policy.issuer,
            leeway=trusted.policy.leeway,
            options={"require": ["exp", "aud", "iss", "sub"], "verify_jti": True, "verify_sub": True},
        )
    except Exception:
        # A refusal is a refusal, also where it comes as a KeyError or TypeError.
        return False
    return True


# What PyJWT takes and we do not, by our reason; all else that is hostile it refuses as well.
STRICTER = {
    "token-malformed": "padding with = is not in RFC 7515",
    "token-too-large": "size has no limit there",
    "token-too-deep": "nor has depth",
    "token-not-json": "BOM, UTF-16, NaN and lone surrogates are no JSON",
    "token-duplicate-name": "RFC 7519 section 4 lets one refuse them",
    "token-critical": "it looks at `crit` only where it is well-formed, and takes b64 for its own",
    "token-wrong-type": "it does not look at typ",
    "token-header-malformed": "nor at what kind of JSON typ is",
    "token-key-unfit": "use, key_ops and alg of a key are lost with the bare key",
    "token-date-malformed": "it takes text, fractions and booleans for numbers",
    "token-too-old": "it has no longest age",
    "token-revoked": "nor revocation",
    "token-claim-missing": "claims that we require of this issuer are ours alone",
    "token-claim-malformed": "names and groups are ours alone",
    "token-user-missing": "so is the claim for the user",
    "token-email-unverified": "and its being verified",
    "token-subject-missing": "it takes an empty subject",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_where_the_second_opinion_is_milder_we_know_why(name: str) -> None:
    """The stricter one wins; a refusal of PyJWT's that is none of ours would be a hole, and there is none."""
    if second_opinion(HOSTILE[name].token):
        assert HOSTILE[name].code in STRICTER


SCALARS = [None, True, False, 0, -1, 1, NOW, NOW - 31, NOW + 31, NOW + 600, NOW + 0.5, 1e300, 2**64, str(NOW)]
TEXTS = ["", "alice", AUDIENCE, ISSUER, SINGLE, MAILING, "\x00", "\ud800", ":", "a b"]
NESTED: list[object] = [[], {}, [AUDIENCE], [AUDIENCE, 1], [[]], {"a": 1}]
VALUES: st.SearchStrategy[object] = st.sampled_from([*SCALARS, *TEXTS, *NESTED])
NAMES = st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "groups", "email", "events", "x"])
HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"]),
    st.sampled_from(["EdDSA", "RS256", "HS256", "none", "ed", "rsa", "twice", "JWT", "at+jwt", None, 1, [], ["b64"]]),
    max_size=3,
)


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A token that was good until some claims, some of its header, its text or its bytes were changed."""
    said = {**claims(), **draw(st.dictionaries(NAMES, VALUES, max_size=3))}
    for name in draw(st.lists(NAMES, max_size=2)):
        said.pop(name, None)
    body = json.dumps(said, separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")])))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(body)))
        body = (
            body[:at]
            + draw(st.sampled_from(["", " ", ",", '"sub":"a",', "NaN", "\\u0000", "\n", "{}", "\ufeff"]))
            + body[at:]
        )
    made = token(body.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16"]))), draw(HEADERS))
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(made)))
        return made[:at] + draw(st.sampled_from([b"=", b".", b"+", b"A", b"\xff", b""])) + made[at + 1 :]
    return made


USUAL = PLAIN[ISSUER].policy
POLICIES = [
    USUAL,
    # Each asks for one thing more, or for another one.
    replace(USUAL, user_claim="email"),
    replace(USUAL, required=("x",)),
    replace(USUAL, longest_age=600),
    replace(USUAL, leeway=0),
    replace(USUAL, groups_claim=None),
    replace(USUAL, groups_claim="x.a"),
    replace(USUAL, groups_claim="x"),
    *(issuer.policy for issuer in ISSUERS.values()),
]


@settings(max_examples=2000, deadline=None)
@given(
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.lists(NAMES, max_size=4),
    st.sampled_from(POLICIES),
)
def test_the_short_way_through_claims_says_what_the_careful_one_says(
    changes: dict[str, object], without: list[str], policy: IssuerPolicy
) -> None:
    """Whatever the claims are, and of whatever issuer: the same token comes out, or the same refusal."""
    said = {name: value for name, value in {**claims(), **changes}.items() if name not in without}
    assert judged(_believe, said, policy, NOW) == judged(_judge, said, policy, NOW)


@settings(max_examples=400, deadline=None)
@given(bent())
def test_what_we_take_the_second_opinion_takes_too(candidate: bytes) -> None:
    """Ours refuses with a reason or agrees; what it takes says to PyJWT the same."""
    try:
        found = ours(candidate)
    except TokenError as refused:
        if second_opinion(candidate):
            assert refused.reason.code in STRICTER
        with contextlib.suppress(TokenError):
            verify(candidate, PLAIN, NOW)
            assert refused.reason.code in ASKED_FOR or MAILING.encode() in b64decode(candidate.split(b".")[1] + b"==")
        return
    assert second_opinion(candidate)
    assert verify(candidate, PLAIN, NOW)._replace(user=found.user, ends=found.ends) == found
    assert found.claims == pyjwt.decode(candidate, options={"verify_signature": False})


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=400))
def test_bytes_are_refused_and_nothing_else_happens(noise: bytes) -> None:
    """No other exception comes out, whatever goes in."""
    with pytest.raises(TokenError):
        ours(noise)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(['":', "[", " :"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4), below, max_size=3),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", ":", '"', "\u00fc", " "]), JSON), max_size=5), st.data())
def test_repeated_names_are_seen_however_they_are_written(
    members: list[tuple[str, object]], data: st.DataObject
) -> None:
    """The fast way of the reader and the careful one cannot be told apart."""
    ascii_only, space = data.draw(st.booleans()), data.draw(st.sampled_from(["", " ", "\n", "\t", "\r"]))

    def written(value: object) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, separators=(f",{space}", f"{space}:{space}"))

    text = "{" + ",".join(f"{written(name)}{space}:{written(value)}" for name, value in members) + "}"
    names = [name for name, _ in members]
    for read in (parse_object, lambda text: parse_segment(encode_segment(text))):
        if len(set(names)) == len(names):
            assert read(text.encode()) == dict(members)
        else:
            with pytest.raises(TokenError) as refused:
                read(text.encode())
            assert refused.value.reason is Reason.TOKEN_DUPLICATE_NAME
