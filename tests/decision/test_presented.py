"""Tokens that come with a login: where each kind counts, for whose key, and for whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hoopjump.decision.certificate import Certificate, parse_certificate, read_certificate
from hoopjump.decision.decide import decide, wants_token
from hoopjump.decision.jose import TokenError
from hoopjump.decision.jwk import Key, thumbprint
from hoopjump.decision.keys import parse_public_key
from hoopjump.decision.presented import (
    embedded_token,
    in_certificate,
    in_environment,
    key_thumbprint,
    session_token_rules,
)
from hoopjump.decision.reasons import Reason
from hoopjump.decision.rules import first_failed
from hoopjump.decision.token import VerifiedToken
from hoopjump.decision.token_mark import TokenMark
from hoopjump.decision.values import Access, Presented, RefusedToken, Token, Verdict
from tests.decision.conftest import KINDS, Keys
from tests.decision.forge import Ed25519, Forged, blob, options, string
from tests.decision.test_decide import ALICE, DIRECTORY, HOOP, NOW, POLICY

PERMITS = (("permit-port-forwarding", b""), ("permit-pty", b""))
MARK = TokenMark("https://ca.example.com", "j1", "thumbprint", "ca-1")
TOKEN = Token("https://ca.example.com", "auth0|1", "auth0|1", "subject", ("dev",), NOW + 300, "j1", MARK)
BOBS = replace(TOKEN, user="auth0|2")
EXPIRED = RefusedToken(Reason.TOKEN_EXPIRED, "exp 1, now 2")


def verified(**claims: Any) -> VerifiedToken:
    """A token whose signature and claims hold."""
    all_claims = {"iss": "https://ca.example.com", "sub": "auth0|1", "exp": NOW + 270, "jti": "j1", **claims}
    signer = Key("ca-1", "Ed25519", "thumbprint", None, frozenset({"EdDSA"}))
    return VerifiedToken("auth0|1", ("dev",), 0, NOW + 300, signer, all_claims)


def certificate(extensions: bytes | None = None) -> Certificate:
    return parse_certificate((Forged() if extensions is None else Forged(extensions=extensions)).blob)


def refused(function: Any, *arguments: Any, **named: Any) -> Reason:
    with pytest.raises(TokenError) as caught:
        function(*arguments, **named)
    assert caught.value.detail.isprintable()
    return caught.value.reason


# -- In the certificate ----------------------------------------------------------------------------------------------


def test_a_certificate_holds_a_token_in_an_extension_of_its_own() -> None:
    """One SSH string; most certificates have none."""
    assert embedded_token(certificate()) is None
    assert embedded_token(certificate(options(("jwt@hoopjump", string("a.b.c"))))) == b"a.b.c"


@pytest.mark.parametrize("data", [b"", b"a.b.c", string("a") + b"x", string("a")[:-1], b"\xff\xff\xff\xff"])
def test_an_extension_that_is_no_string_is_a_malformed_token(data: bytes) -> None:
    """Not one that is not there."""
    assert refused(embedded_token, certificate(options(("jwt@hoopjump", data)))) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("kind", KINDS)
def test_keys_of_every_kind_have_a_thumbprint(keys: Keys, kind: str) -> None:
    """RFC 7638; a FIDO key that of the plain key in it, which is what its authenticator proves."""
    found = read_certificate(keys.issue(kind, "-I", "x", "-n", "a", name=f"jkt-{kind}").read_bytes())
    print_ = key_thumbprint(found.key)
    assert len(print_) == 43
    token = in_certificate(verified(cnf={"jkt": print_}), "subject", found, bound=True)
    assert (token.user, token.ends, token.token_id) == ("auth0|1", NOW + 300, "j1")


def test_a_thumbprint_is_that_of_the_rfcs_own_example() -> None:
    """RFC 8037 appendix A.3, for an Ed25519 key."""
    raw = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    public = string("ssh-ed25519") + string(raw)
    assert key_thumbprint(parse_public_key(public)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_token_of_another_key_is_refused() -> None:
    """A certificate is public, so its token may be anybody's in another one."""
    other = thumbprint(ec.generate_private_key(ec.SECP256R1()).public_key())
    assert (
        refused(in_certificate, verified(cnf={"jkt": other}), "subject", certificate(), bound=True)
        is Reason.TOKEN_OTHER_KEY
    )


@pytest.mark.parametrize("cnf", [None, {}, {"jkt": None}, {"jkt": ""}, {"jkt": ["x"]}, {"kid": "x"}, "x", ["jkt"]])
def test_a_token_that_is_bound_to_nothing_is_refused(cnf: object) -> None:
    """Nothing that could be taken for a binding is one."""
    assert refused(in_certificate, verified(cnf=cnf), "subject", certificate(), bound=True) is Reason.TOKEN_UNBOUND


def test_a_providers_own_token_is_refused_in_a_certificate() -> None:
    """Even one that is bound to this very key: its issuer is not known to bind."""
    own = certificate()
    claims = {"cnf": {"jkt": key_thumbprint(own.key)}}
    assert refused(in_certificate, verified(**claims), "subject", own, bound=False) is Reason.TOKEN_NOT_FOR_CERTIFICATES


# -- In the environment ----------------------------------------------------------------------------------------------


def test_a_providers_own_token_counts_in_the_environment() -> None:
    """Nothing is bound there."""
    assert in_environment(verified(), "email", bound=False).attribute == "email"


@pytest.mark.parametrize(("claims", "bound"), [({}, True), ({"cnf": {"jkt": "x"}}, False), ({"cnf": None}, False)])
def test_a_bound_token_is_refused_in_the_environment(claims: dict[str, Any], bound: bool) -> None:
    """Whoever copied it out of a certificate has proven no key (RFC 7800); the same goes for RFC 9449."""
    assert refused(in_environment, verified(**claims), "subject", bound=bound) is Reason.TOKEN_MISPLACED


# -- The login -------------------------------------------------------------------------------------------------------


def login(presented: Presented, *, session: Any = "optional", forward: Any = "optional", **changes: Any) -> Verdict:
    policy = replace(POLICY, session_use=session, forward_use=forward, **changes)
    return decide(HOOP, certificate(options(*PERMITS)), DIRECTORY, policy, NOW, presented)


def check(verdict: Verdict, name: str) -> tuple[bool, str]:
    return next((item.passed, item.detail) for item in verdict.trace if item.name == name)


def test_the_end_of_the_token_is_an_end_of_the_login() -> None:
    """The earliest of all ends counts."""
    verdict = login(TOKEN)
    assert (verdict.access, verdict.deadline, verdict.token) == (Access.ALLOW, TOKEN.ends, TOKEN)
    assert login(replace(TOKEN, ends=2**40)).deadline == login(None).deadline


def test_the_token_of_somebody_else_holds_the_login() -> None:
    """Both names are in the trace, and neither in the sentence."""
    verdict = login(BOBS)
    assert (verdict.access, verdict.reason) == (Access.HOLD, Reason.TOKEN_OTHER_USER)
    passed, detail = check(verdict, "token-certificate-user")
    assert not passed
    assert "auth0|1" in detail
    assert "auth0|2" in detail
    assert not any(name in verdict.sentence for name in ("auth0", "alice", "bob"))
    assert verdict.line is not None
    assert "port-forwarding" not in verdict.line


@pytest.mark.parametrize(
    ("attribute", "user", "good"),
    [
        ("subject", "auth0|1", True),
        ("email", "alice@x.io", True),
        ("email", "Alice@x.io", False),
        ("email", "auth0|1", False),
        ("subject", "alice@x.io", False),
        ("subject", "auth0|1 ", False),
    ],
)
def test_users_are_compared_letter_by_letter_in_the_configured_attribute(attribute: Any, user: str, good: bool) -> None:
    """Names that look alike are not the same."""
    verdict = login(replace(TOKEN, attribute=attribute, user=user))
    assert (verdict.access is Access.ALLOW) is good


def test_a_refused_token_holds_the_login_with_its_own_reason() -> None:
    """The session hook tells it."""
    verdict = login(EXPIRED)
    assert (verdict.access, verdict.reason) == (Access.HOLD, Reason.TOKEN_EXPIRED)
    assert check(verdict, "token-certificate") == (False, "exp 1, now 2")


def test_what_is_wrong_with_the_certificate_comes_first() -> None:
    """Denied is denied."""
    policy = replace(POLICY, session_use="required", trusted_cas=frozenset({blob(Ed25519())}))
    assert decide(HOOP, certificate(), DIRECTORY, policy, NOW, EXPIRED).access is Access.DENY


@pytest.mark.parametrize("presented", [None, TOKEN, BOBS, EXPIRED])
def test_where_tokens_never_count_none_is_looked_at(presented: Presented) -> None:
    """As before there were any."""
    assert login(presented, session="never", forward="never") == login(None, session="never", forward="never")
    assert not wants_token(certificate(), POLICY)


def test_a_strangers_token_causes_no_traffic() -> None:
    """Only a trusted authority's certificate has its token verified."""
    policy = replace(POLICY, session_use="optional")
    assert wants_token(certificate(), policy)
    assert not wants_token(certificate(), replace(policy, trusted_cas=frozenset()))


FORWARDS = "port-forwarding,permitopen="


@pytest.mark.parametrize(
    ("forward", "presented", "forwards"),
    [
        ("never", None, True),
        ("optional", None, True),
        ("optional", TOKEN, True),
        ("required", None, False),
        ("required", TOKEN, True),
    ],
)
def test_forwards_that_need_a_token_are_not_granted_without(forward: Any, presented: Presented, forwards: bool) -> None:
    """A session may still be let in, and the trace says why there are no forwards."""
    verdict = login(presented, forward=forward)
    assert verdict.access is Access.ALLOW
    assert (FORWARDS in (verdict.line or "")) is forwards
    if forward != "never":
        assert check(verdict, "token-forward")[0] is forwards


def test_a_missing_forward_token_says_so() -> None:
    """In words, for `hoopjump explain`."""
    assert check(login(None, forward="required"), "token-forward") == (
        False,
        "required; none in the certificate: no forwards",
    )


# -- The session -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "embedded", "environment", "reason"),
    [
        ("never", None, EXPIRED, None),
        ("optional", None, None, None),
        ("optional", None, TOKEN, None),
        ("optional", None, EXPIRED, Reason.TOKEN_EXPIRED),
        ("optional", None, BOBS, Reason.TOKEN_OTHER_USER),
        ("optional", TOKEN, BOBS, Reason.TOKEN_OTHER_USER),
        ("required", None, None, Reason.TOKEN_REQUIRED),
        ("required", TOKEN, None, None),
        ("required", None, TOKEN, None),
        ("required", TOKEN, EXPIRED, Reason.TOKEN_EXPIRED),
    ],
)
def test_a_session_may_need_a_token_from_either_place(
    use: Any, embedded: Token | None, environment: Presented, reason: Reason | None
) -> None:
    """One that is shown must be good, also where another one is."""
    failed = first_failed(session_token_rules(use, embedded, environment, ALICE))
    assert (failed.reason if failed else None) is reason


def test_policy_says_whether_tokens_are_looked_at() -> None:
    """For one use or the other."""
    assert not POLICY.tokens
    assert replace(POLICY, session_use="optional").tokens
    assert replace(POLICY, forward_use="required").tokens
