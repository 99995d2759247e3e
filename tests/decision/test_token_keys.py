"""Key sets, thumbprints, policies, and what is remembered of verified tokens."""

from __future__ import annotations

import gc
import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from hoopjump.decision.jwk import COUNT_LIMIT, SET_LIMIT, KeySetError, parse_key, parse_key_set, public_members
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token import TokenError, VerifiedToken, verify
from hoopjump.decision.token_memory import VerifiedTokens, footprint
from hoopjump.decision.token_policy import IssuerPolicy, SharedSecret, TrustedIssuer, claim_path, trust
from hoopjump.decision.token_signature import signature_check
from tests.hostile.tokens.forge import (
    AUDIENCE,
    DAY,
    ISSUER,
    ISSUERS,
    NOW,
    PRIVATE,
    SECRET,
    SHARING,
    claims,
    jwk,
    key_set,
    pem,
    policy,
    token,
    without_kid,
)

# RFC 7638 section 3.1.
RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
    "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
    "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
    "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def test_thumbprints_of_the_rfcs() -> None:
    """RFC 7638 section 3.1, and RFC 8037 appendix A.3 for Ed25519."""
    assert parse_key(RFC_7638).thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    ed25519 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert parse_key(ed25519).thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_signature_of_the_rfc_holds() -> None:
    """RFC 8037 appendix A.4: the signature is right, and its claims are no JSON."""
    key = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    example = (
        b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    with pytest.raises(TokenError) as refused:
        verify(example, trust(TrustedIssuer(policy(ISSUER, "EdDSA"), key_set(key))), NOW)
    assert refused.value.reason is Reason.TOKEN_NOT_JSON


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys":{}}',
        '{"keys":[]}',
        '{"keys":[1]}',
        '{"keys":[{}],"keys":[{}]}',
        '{"keys":NaN}',
        "\ufeff{}",
    ],
)
def test_what_is_no_key_set_is_an_error(text: str) -> None:
    """It is not an empty set either, which would only be found out at the next login."""
    with pytest.raises(KeySetError):
        parse_key_set(text.encode())


def test_a_key_set_is_bounded() -> None:
    """In bytes and in keys."""
    with pytest.raises(KeySetError, match="larger"):
        parse_key_set(b" " * (SET_LIMIT + 1))
    with pytest.raises(KeySetError, match="keys"):
        key_set(*[jwk("ed", kid=str(number)) for number in range(COUNT_LIMIT + 1)])
    assert len(key_set(*[jwk("ed", kid=str(number)) for number in range(COUNT_LIMIT)]).keys) == COUNT_LIMIT


def test_a_single_key_with_another_name_is_not_the_tokens() -> None:
    """Only an unnamed key may serve a token that names one."""
    for keys, fits in (([without_kid("ed")], True), ([jwk("ed", kid="new")], False)):
        issuers = trust(TrustedIssuer(policy(ISSUER, "EdDSA"), key_set(*keys)))
        if fits:
            assert verify(token(), issuers, NOW).user == "alice"
        else:
            with pytest.raises(TokenError) as refused:
                verify(token(), issuers, NOW)
            assert refused.value.reason is Reason.TOKEN_KEY_UNKNOWN


def test_two_unnamed_keys_serve_no_unnamed_token() -> None:
    """Keys are not tried one after the other."""
    issuers = trust(TrustedIssuer(policy(ISSUER, "EdDSA"), key_set(without_kid("ed"), without_kid("other"))))
    with pytest.raises(TokenError) as refused:
        verify(token(None, '{"alg":"EdDSA"}'), issuers, NOW)
    assert refused.value.reason is Reason.TOKEN_KEY_UNNAMED


@pytest.mark.parametrize(
    "secret", [b"", b"s" * 31, pem("rsa"), b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA" * 2, json.dumps(jwk("ed")).encode()]
)
def test_what_is_no_shared_secret_is_an_error(secret: bytes) -> None:
    """Too short, or something public."""
    with pytest.raises(ValueError, match="secret"):
        SharedSecret(secret)


def test_a_shared_secret_is_not_shown() -> None:
    """By its repr, which logs may hold."""
    assert "s" * 8 not in repr(SharedSecret(b"s" * 32))


@pytest.mark.parametrize("beginning", [b"{", b" {", b"{{", b'{"', b"{\xff"])
def test_a_secret_may_begin_with_any_byte(beginning: bytes) -> None:
    """One random secret in 256 begins with a brace; that alone is no key set."""
    assert SharedSecret(beginning + b"\x80" * 32).value.startswith(beginning)


def test_secrets_and_key_sets_do_not_mix() -> None:
    """RFC 8725 section 2.1: an issuer has the one or the other."""
    keys, secret = key_set(jwk("ed")), SharedSecret(SECRET)
    for algorithms, with_what in ((("HS256",), keys), (("EdDSA",), secret), (("HS256", "EdDSA"), secret)):
        with pytest.raises(ValueError, match="HS256"):
            TrustedIssuer(policy(ISSUER, *algorithms), with_what)


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": ""},
        {"audiences": frozenset()},
        {"audiences": frozenset({""})},
        {"algorithms": frozenset()},
        {"algorithms": frozenset({"none"})},
        {"algorithms": frozenset({"HS512"})},
        {"types": frozenset()},
        {"types": frozenset({"jwt", "logout+jwt"})},
        {"types": frozenset({"dpop+jwt"})},
        {"leeway": -1},
        {"longest_age": 0},
        {"user_claim": ""},
        {"groups_claim": "a..b"},
        {"required": ("",)},
    ],
)
def test_a_policy_that_lets_through_what_it_must_not_is_an_error(settings: dict[str, Any]) -> None:
    """When it is made, and not when somebody uses it."""
    good: dict[str, Any] = {
        "issuer": ISSUER,
        "audiences": frozenset({AUDIENCE}),
        "algorithms": frozenset({"EdDSA"}),
    }
    IssuerPolicy(**good)
    with pytest.raises(ValueError, match=r"."):
        IssuerPolicy(**{**good, **settings})


def test_two_issuers_of_one_name_are_an_error() -> None:
    """One would silently replace the other."""
    with pytest.raises(ValueError, match="same name"):
        trust(ISSUERS[ISSUER], ISSUERS[ISSUER])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("sub", ("sub",)),
        ("realm_access.roles", ("realm_access", "roles")),
        ("https://app.hoop.dev/groups", ("https://app.hoop.dev/groups",)),
        ("urn:zitadel:iam:org", ("urn:zitadel:iam:org",)),
    ],
)
def test_names_of_claims_are_paths_or_urls(name: str, path: tuple[str, ...]) -> None:
    """The dots of a URL lead nowhere."""
    assert claim_path(name) == path


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("https://app.hoop.dev/groups", {"https://app.hoop.dev/groups": ["a", "b"]}),
        ("realm_access.roles", {"realm_access": {"roles": ["a", "b"]}}),
    ],
)
def test_groups_are_found_where_they_are_configured(name: str, more: dict[str, object]) -> None:
    """And nowhere else."""
    trusted = replace(ISSUERS[ISSUER].policy, groups_claim=name)
    issuers = trust(TrustedIssuer(trusted, ISSUERS[ISSUER].keys))
    assert verify(token(claims(**more)), issuers, NOW).groups == ("a", "b")
    assert verify(token(), issuers, NOW).groups == ()
    assert verify(token(claims(**{name.partition(".")[0]: "x", "realm_access": []})), issuers, NOW).groups in (
        (),
        ("x",),
    )


def remembering(capacity: int = 4) -> tuple[VerifiedTokens, bytes, VerifiedToken]:
    """A memory that has a token in it."""
    memory, made = VerifiedTokens(capacity), token()
    verified = verify(made, ISSUERS, NOW)
    memory.remember(made, verified)
    return memory, made, verified


def test_a_remembered_token_is_told_until_it_ends() -> None:
    """Leeway and longest age included, to the second, and not before it begins."""
    memory, made, verified = remembering()
    assert (verified.begins, verified.ends) == (NOW - 40, NOW + 630)
    assert memory.get(made, NOW) is verified
    assert memory.get(made, NOW + 629) is verified
    assert memory.get(made, NOW - 41) is None
    assert memory.get(made, NOW + 630) is None
    assert len(memory) == 0
    old = token(claims(iat=NOW - DAY + 5))
    assert verify(old, ISSUERS, NOW).ends == NOW + 5 + 30


def test_only_the_same_bytes_are_remembered() -> None:
    """A token with another signature, or none, is not the one that was verified."""
    memory, made, _ = remembering()
    for other in (made + b"=", made[:-1], made.rpartition(b".")[0] + b".", made.swapcase()):
        assert memory.get(other, NOW) is None


def test_tokens_are_forgotten_with_all_of_their_issuers() -> None:
    """And no others."""
    memory, made, verified = remembering()
    shared = token(claims(iss=SHARING), algorithm="HS256", secret=SECRET)
    memory.remember(shared, verify(shared, ISSUERS, NOW))
    assert verified.key == parse_key(jwk("ed")).thumbprint
    assert memory.forget("https://else.example.com") == 0
    assert memory.forget(ISSUER) == 1
    assert memory.get(made, NOW) is None
    assert memory.get(shared, NOW) is not None


def test_unverified_tokens_take_up_no_room() -> None:
    """However many are looked for; and of the verified ones the first goes first."""
    memory, made, _ = remembering(capacity=2)
    for number in range(100):
        assert memory.get(b"%d" % number, NOW) is None
    assert memory.get(made, NOW) is not None
    others = [token(claims(jti=str(number)), key="p256") for number in range(2)]
    for other in others:
        memory.remember(other, verify(other, ISSUERS, NOW))
    assert len(memory) == 2
    assert memory.get(made, NOW) is None
    assert all(memory.get(other, NOW) for other in others)


def test_the_private_half_never_stands_in_a_key_set() -> None:
    """What the tests publish is public."""
    assert all("d" not in jwk(name) for name in PRIVATE)


def test_large_tokens_take_up_no_more_room_than_many_small_ones() -> None:
    """Some providers name hundreds of groups, and there is no end of tokens; what is forgotten makes room again."""
    made = [token(claims(jti=str(number), groups=["g" * 1000])) for number in range(9)]
    size = footprint(verify(made[0], ISSUERS, NOW))
    memory = VerifiedTokens(room=3 * size + size // 2)

    def known() -> list[int]:
        return [number for number, one in enumerate(made) if memory.get(one, NOW) is not None]

    for one in [*made[:6], made[5]]:
        memory.remember(one, verify(one, ISSUERS, NOW))
    assert known() == [3, 4, 5]
    assert memory.forget(ISSUER) == 3
    for one in made[6:]:
        memory.remember(one, verify(one, ISSUERS, NOW))
    assert known() == [6, 7, 8]
    small = VerifiedTokens(room=size - 1)
    small.remember(made[0], verify(made[0], ISSUERS, NOW))
    assert len(small) == 0


@pytest.mark.parametrize(
    "hollow",
    [[[]] * 3000, {f"{number:x}": {} for number in range(1000)}, [number * 10**9 for number in range(700)]],
    ids=["lists", "objects", "numbers"],
)
def test_room_is_counted_as_it_is_taken_up(hollow: object) -> None:
    """A claim of thousands of empty things takes up many times what it took on its way."""
    made = [token(claims(jti=str(number), x=hollow)) for number in range(60)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        memory = VerifiedTokens(room=1 << 20)
        for one in made:
            memory.remember(one, verify(one, ISSUERS, NOW))
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0 < len(memory) < len(made), taken
    # Some are shared: what is counted is rather too much than too little.
    assert (1 << 20) // 4 < taken < 1 << 20


@pytest.mark.parametrize(("algorithm", "curve"), [("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1())])
def test_an_ecdsa_signature_holds_whatever_its_numbers_begin_with(algorithm: str, curve: ec.EllipticCurve) -> None:
    """DER has none of their leading zeros, and one of its own before a first bit that is set."""
    size = curve.key_size // 8
    private = ec.generate_private_key(curve)
    key = parse_key(public_members(private.public_key()))
    check = signature_check(key, algorithm)
    scheme = ec.ECDSA({"ES256": hashes.SHA256(), "ES384": hashes.SHA384()}[algorithm])
    wanted = {("zero", "low"), ("zero", "high"), ("low", "zero"), ("high", "zero")}
    wanted |= {(r, s) for r in ("low", "high") for s in ("low", "high")}

    def kind(number: bytes) -> str:
        return "zero" if number[0] == 0 else "high" if number[0] & 0x80 else "low"

    for data in (b"%d" % number for number in range(100_000)):
        r, s = (number.to_bytes(size, "big") for number in decode_dss_signature(private.sign(data, scheme)))
        if (kind(r), kind(s)) in wanted:
            wanted.remove((kind(r), kind(s)))
            check(r + s, data)
            for wrong in (s + r, r[1:] + s, r + s + b"\0", bytes(1) + r[1:] + s if r[0] else r[1:] + b"\1" + s):
                with pytest.raises(InvalidSignature):
                    check(wrong, data)
            with pytest.raises(InvalidSignature):
                check(r + s, data + b"x")
        if not wanted:
            return
    raise AssertionError(wanted)
