"""Is this token one of an issuer that we trust, and whom does it name? RFC 7519, 8725 and 9068; pure.

Signature first, claims afterwards: until it holds, the claims decide nothing but whose keys are asked.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

from cryptography.exceptions import InvalidSignature

from hoopjump.decision.jose import ALPHABET, TokenError, decode_segment, parse_header, parse_object
from hoopjump.decision.jwk import Key
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token_policy import (
    FOREIGN_TYPES,
    IssuerPolicy,
    SharedSecret,
    TrustedIssuer,
    follow,
)
from hoopjump.decision.token_signature import CHECKS, check_hs256

TOKEN_LIMIT: Final = 16 * 1024
NAME_LIMIT: Final = 255  # OpenID Connect Core 1.0 section 2, `sub`
LATEST_DATE: Final = 253402300799  # the end of the year 9999

# Stands for the thumbprint of a shared secret, whose own would be a hash of it.
SHARED: Final = "shared secret"

__all__ = ["TOKEN_LIMIT", "TokenError", "VerifiedToken", "verify"]


class VerifiedToken(NamedTuple):
    """What a token says, verified. A tuple and not a dataclass because making one is part of every verification.

    It holds while ``begins <= now < ends`` (Unix seconds, leeway and longest age included); ``expires`` is its ``exp``.
    ``key`` is the thumbprint of the key that signed it (:data:`SHARED` for a secret). ``claims`` are all of them.
    """

    issuer: str
    subject: str
    user: str
    groups: tuple[str, ...]
    expires: int
    begins: int
    ends: int
    token_id: str | None
    key: str
    claims: Mapping[str, Any]


def verify(
    token: bytes,
    issuers: Mapping[str, TrustedIssuer],
    now: float,
    revoked: Container[tuple[str, str]] = frozenset(),
) -> VerifiedToken:
    """Verify a token, as it was sent: no white space, no ``Bearer``. Raises :class:`TokenError`.

    ``issuers`` are by name (:func:`hoopjump.decision.token_policy.trust`); ``now`` is Unix seconds; ``revoked`` holds
    (issuer, jti).
    """
    if len(token) > TOKEN_LIMIT:
        raise TokenError(Reason.TOKEN_TOO_LARGE, f"{len(token)} bytes")
    segments = token.translate(ALPHABET).split(b".")
    if len(segments) != 3:
        raise TokenError(Reason.TOKEN_MALFORMED, f"{len(segments)} segments")
    head, body, tail = segments
    algorithm, kid, typ = parse_header(head)
    signature = decode_segment(tail)
    claims = parse_object(decode_segment(body))
    issuer = claims.get("iss")
    if type(issuer) is not str or issuer not in issuers:
        _refuse_issuer(issuer)
    trusted = issuers[issuer]
    policy = trusted.policy
    if typ not in policy.types or typ in FOREIGN_TYPES:
        raise TokenError(Reason.TOKEN_WRONG_TYPE, f"typ {typ[:64]!a}")
    if algorithm not in policy.algorithms:
        _refuse_algorithm(algorithm, trusted)
    keys = trusted.keys
    try:
        signed = token[: -1 - len(tail)]
        if isinstance(keys, SharedSecret):
            check_hs256(keys.value, signature, signed)
            signer = SHARED
        else:
            key = keys.find(kid)
            if algorithm not in key.algorithms:
                _refuse_key(key, algorithm)
            CHECKS[algorithm](key.primitive, signature, signed)
            signer = key.thumbprint
    except InvalidSignature:
        raise TokenError(Reason.TOKEN_BAD_SIGNATURE, f"{algorithm}, kid {(kid or '')[:64]!a}") from None
    return _believe(claims, policy, issuer, signer, now, revoked)


def _believe(  # noqa: PLR0917 - once for every token, and naming arguments costs
    claims: dict[str, Any],
    policy: IssuerPolicy,
    issuer: str,
    signer: str,
    now: float,
    revoked: Container[tuple[str, str]],
) -> VerifiedToken:
    """The claims of a token whose signature holds."""
    get = claims.get
    subject, audience, expires = get("sub"), get("aud"), get("exp")
    if "events" in claims:
        # RFC 8417: a security event, or a logout token, also where its `typ` does not say so.
        raise TokenError(Reason.TOKEN_WRONG_TYPE, "it has `events`")
    if type(audience) is not str or audience not in policy.audiences:
        _check_audiences(audience, policy.audiences)
    if type(subject) is not str or not 0 < len(subject) <= NAME_LIMIT or not subject.isprintable():
        _refuse_name("sub", subject, Reason.TOKEN_SUBJECT_MISSING)
    if expires is None and "exp" not in claims:
        raise TokenError(Reason.TOKEN_EXPIRY_MISSING)
    if type(expires) is not int or not 0 <= expires <= LATEST_DATE:
        _refuse_date("exp", expires)
    begins, ends = _window(claims, expires, policy, now)
    token_id = get("jti")
    if token_id is not None or "jti" in claims:
        if type(token_id) is not str or not token_id:
            raise TokenError(Reason.TOKEN_CLAIM_MALFORMED, "`jti` is not text")
        if (issuer, token_id) in revoked:
            raise TokenError(Reason.TOKEN_REVOKED, f"jti {token_id[:64]!a}")
    for path in policy.required_paths:
        if follow(claims, path) is None:
            raise TokenError(Reason.TOKEN_CLAIM_MISSING, f"`{'.'.join(path)}`")
    path = policy.user_path
    user = get(path[0]) if len(path) == 1 else follow(claims, path)
    if type(user) is not str or not 0 < len(user) <= NAME_LIMIT or not user.isprintable():
        _refuse_name(policy.user_claim, user, Reason.TOKEN_USER_MISSING)
    if path == ("email",) and get("email_verified", True) not in (True, "true"):
        raise TokenError(Reason.TOKEN_EMAIL_UNVERIFIED)
    groups = _groups(claims, policy.groups_path) if policy.groups_path is not None else ()
    return VerifiedToken(
        issuer, subject, user, groups, expires, begins, ends, token_id, signer, MappingProxyType(claims)
    )


def _window(claims: dict[str, Any], expires: int, policy: IssuerPolicy, now: float) -> tuple[int, int]:
    """The moments from which and until which the token holds; raises when now is none of them."""
    leeway = policy.leeway
    begins, ends = 0, expires + leeway
    if now >= ends:
        raise TokenError(Reason.TOKEN_EXPIRED, f"exp {expires}, now {int(now)}")
    if "nbf" in claims:
        not_before = claims["nbf"]
        if type(not_before) is not int or not 0 <= not_before <= LATEST_DATE:
            _refuse_date("nbf", not_before)
        begins = not_before - leeway
        if now < begins:
            raise TokenError(Reason.TOKEN_NOT_YET_VALID, f"nbf {not_before}, now {int(now)}")
    if "iat" in claims:
        issued = claims["iat"]
        if type(issued) is not int or not 0 <= issued <= LATEST_DATE:
            _refuse_date("iat", issued)
        if now < issued - leeway:
            raise TokenError(Reason.TOKEN_ISSUED_IN_FUTURE, f"iat {issued}, now {int(now)}")
        begins = max(begins, issued - leeway)
        if policy.longest_age is not None:
            ends = min(ends, issued + policy.longest_age + leeway)
            if now >= ends:
                raise TokenError(Reason.TOKEN_TOO_OLD, f"iat {issued}, now {int(now)}")
    elif policy.longest_age is not None:
        raise TokenError(Reason.TOKEN_CLAIM_MISSING, "`iat`, from which its age is counted")
    return begins, ends


def _groups(claims: dict[str, Any], path: tuple[str, ...]) -> tuple[str, ...]:
    """A list of names; one name alone counts as a list of it, nothing as an empty one."""
    value = follow(claims, path)
    if value is None:
        return ()
    names = [value] if type(value) is str else value
    if type(names) is not list or not all(type(name) is str and name for name in names):
        raise TokenError(Reason.TOKEN_CLAIM_MALFORMED, "the groups are not a list of names")
    return tuple(names)


def _check_audiences(audience: object, ours: frozenset[str]) -> None:
    if audience is None or audience in ("", []):
        raise TokenError(Reason.TOKEN_AUDIENCE_MISSING)
    names = [audience] if type(audience) is str else audience
    if type(names) is not list or not all(type(name) is str for name in names):
        raise TokenError(Reason.TOKEN_CLAIM_MALFORMED, "`aud` is neither a name nor a list of names")
    if ours.isdisjoint(names):
        raise TokenError(Reason.TOKEN_WRONG_AUDIENCE, f"aud {str(audience)[:128]!a}")


def _refuse_issuer(issuer: object) -> NoReturn:
    if issuer is None or issuer == "":
        raise TokenError(Reason.TOKEN_ISSUER_MISSING)
    raise TokenError(Reason.TOKEN_WRONG_ISSUER, f"iss {str(issuer)[:128]!a}")


def _refuse_algorithm(algorithm: str, trusted: TrustedIssuer) -> NoReturn:
    if algorithm.startswith("HS") and not isinstance(trusted.keys, SharedSecret):
        raise TokenError(Reason.TOKEN_HMAC_WITH_KEY_SET, f"alg {algorithm[:16]!a}")
    raise TokenError(Reason.TOKEN_WRONG_ALGORITHM, f"alg {algorithm[:16]!a}")


def _refuse_key(key: Key, algorithm: str) -> NoReturn:
    if key.flaw is not None:
        raise TokenError(key.flaw, f"kid {(key.kid or '')[:64]!a}: {key.why}")
    raise TokenError(Reason.TOKEN_KEY_UNFIT, f"kid {(key.kid or '')[:64]!a} ({key.kind}) is not for {algorithm}")


def _refuse_name(claim: str, value: object, missing: Reason) -> NoReturn:
    if value is None or value == "":
        raise TokenError(missing, f"`{claim}`")
    raise TokenError(Reason.TOKEN_CLAIM_MALFORMED, f"`{claim}` is not a name of 1 to {NAME_LIMIT} characters")


def _refuse_date(claim: str, value: object) -> NoReturn:
    raise TokenError(Reason.TOKEN_DATE_MALFORMED, f"`{claim}` is {type(value).__name__} {str(value)[:32]!a}")
