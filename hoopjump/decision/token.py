"""Is this token one of an issuer that we trust, and whom does it name? RFC 7519, 8725 and 9068; pure.

Signature first, claims afterwards: until it holds, the claims decide nothing but whose keys are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn, cast

from cryptography.exceptions import InvalidSignature

from hoopjump.decision.jose import TokenError, decode_segment, parse_header, parse_segment
from hoopjump.decision.jwk import Key, KeySet
from hoopjump.decision.moments import moment_text
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token_mark import TokenMark, short
from hoopjump.decision.token_policy import (
    IssuerPolicy,
    Route,
    SharedSecret,
    TrustedIssuer,
    follow,
)
from hoopjump.decision.token_signature import hmac_check, signature_check

TOKEN_LIMIT: Final = 16 * 1024
NAME_LIMIT: Final = 255  # OpenID Connect Core 1.0 section 2, `sub`
LATEST_DATE: Final = 253402300799  # the end of the year 9999
ROUTES_LIMIT: Final = 256

# Stands for the thumbprint of a shared secret, whose own would be a hash of it.
SHARED: Final = "shared secret"

__all__ = ["TOKEN_LIMIT", "TokenError", "VerifiedToken", "verify"]


class VerifiedToken(NamedTuple):
    """What a token says, verified. A tuple and not a dataclass because making one is part of every verification.

    It holds while ``begins <= now < ends`` (Unix seconds, leeway and longest age included).
    ``signer`` is the key that signed it, None a shared secret. ``claims`` are all of them.
    """

    user: str
    groups: tuple[str, ...]
    begins: int
    ends: int
    signer: Key | None
    claims: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The thumbprint of the key that signed it, :data:`SHARED` for a secret."""
        return SHARED if self.signer is None else self.signer.thumbprint

    @property
    def issuer(self) -> str:
        """The claim ``iss``."""
        return cast(str, self.claims["iss"])

    @property
    def subject(self) -> str:
        """The claim ``sub``."""
        return cast(str, self.claims["sub"])

    @property
    def token_id(self) -> str | None:
        """The claim ``jti``."""
        return self.claims.get("jti")

    @property
    def mark(self) -> TokenMark:
        """By what it can be taken back."""
        original = self.claims.get("orig")
        told = original if type(original) is dict else {}
        return TokenMark(
            issuer=short(self.issuer),
            token_id=_name(self.token_id),
            key="" if self.signer is None else self.signer.thumbprint,
            kid=None if self.signer is None else _name(self.signer.kid),
            original_issuer=_name(told.get("iss")),
            original_id=_name(told.get("jti")),
        )

    @property
    def expires(self) -> int:
        """The claim ``exp``, in Unix seconds; leeway comes on top."""
        return cast(int, self.claims["exp"])


# What VerifiedToken(...) comes to, in half the time.
_made: Final = cast("Callable[[type[VerifiedToken], tuple[Any, ...]], VerifiedToken]", tuple.__new__)


def verify(token: bytes, issuers: Mapping[str, TrustedIssuer], now: float) -> VerifiedToken:
    """Verify a token, as it was sent: no white space, no ``Bearer``. Raises :class:`TokenError`.

    ``issuers`` are by name (:func:`hoopjump.decision.token_policy.trust`); ``now`` is Unix seconds.
    """
    if len(token) > TOKEN_LIMIT:
        raise TokenError(Reason.TOKEN_TOO_LARGE, f"{len(token)} bytes")
    signed, _, tail = token.rpartition(b".")
    head, _, body = signed.partition(b".")
    if not head or not body:
        raise TokenError(Reason.TOKEN_MALFORMED, f"{token.count(b'.') + 1} segments")
    try:
        signature = decode_segment(tail)
        claims = parse_segment(body)
    except TokenError:
        # What the header says may be why.
        parse_header(head)
        raise
    try:
        trusted = issuers[claims["iss"]]
    except (KeyError, TypeError):
        parse_header(head)
        _refuse_issuer(claims.get("iss"))
    route = trusted.routes.get(head)
    try:
        if route is None:
            signer = _check_first(head, signature, signed, trusted)
        else:
            signer, check = route
            check(signature, signed)
    except InvalidSignature:
        header = parse_header(head)
        kid = "" if header.kid is None else f", kid {header.kid[:64]!a}"
        raise TokenError(Reason.TOKEN_BAD_SIGNATURE, header.algorithm + kid) from None
    return _believe(claims, trusted.policy, signer, now)


def _check_first(head: bytes, signature: bytes, signed: bytes, trusted: TrustedIssuer) -> Key | None:
    """Check by a header that is not known yet, and keep what it comes to; raises InvalidSignature, TokenError."""
    signer, check = _route(head, trusted)
    check(signature, signed)
    if len(trusted.routes) < ROUTES_LIMIT:
        # An issuer's headers are few and alike; only those that it has signed are kept.
        trusted.routes[head] = signer, check
    return signer


def _route(head: bytes, trusted: TrustedIssuer) -> Route:
    """The key that a header names, and how it checks."""
    header, keys = parse_header(head), trusted.keys
    algorithm = header.algorithm
    if header.typ not in trusted.policy.types:
        raise TokenError(Reason.TOKEN_WRONG_TYPE, f"typ {header.typ[:64]!a}")
    if algorithm not in trusted.policy.algorithms:
        _refuse_algorithm(algorithm, trusted)
    if isinstance(keys, KeySet):
        signer = keys.find(header.kid)
        if algorithm not in signer.algorithms:
            _refuse_key(signer, algorithm)
        return signer, signature_check(signer, algorithm)
    return None, hmac_check(keys.value)


def _believe(claims: dict[str, Any], policy: IssuerPolicy, signer: Key | None, now: float) -> VerifiedToken:
    """The claims of a token whose signature holds.

    One condition takes what most tokens say to most issuers; whatever it does not take is judged with care.
    """
    leeway = policy.leeway
    try:
        expires, not_before, issued = claims["exp"], claims.get("nbf", 0), claims.get("iat", 0)
        subject, token_id = claims["sub"], claims.get("jti", "none")
        if (
            type(expires) is type(not_before) is type(issued) is int
            and type(subject) is type(token_id) is str
            # Empty where more is asked of a token than most ask. A list in the claim is a TypeError.
            and claims["aud"] in policy.usual_audiences
            and expires >= 0
            and not_before >= 0
            and issued >= 0
            # max() would cost three times as much.
            and (begins := (not_before if not_before > issued else issued) - leeway) <= now
            and now < (ends := expires + leeway)
            # Then the other dates are before it as well.
            and ends + leeway <= LATEST_DATE
            and 0 < len(subject) <= NAME_LIMIT
            and subject.isprintable()
            and token_id
            and "events" not in claims
        ):
            names: Any = claims.get(policy.groups_name)  # type: ignore[arg-type] # None is the name of nothing in JSON
            # join takes text only, and looks faster than a loop of ours.
            named = type(names) is list and "" not in names and "".join(names).isprintable()
            groups = tuple(names) if named else _groups(claims, policy)
            return _made(VerifiedToken, (subject, groups, begins, ends, signer, claims))
    except (KeyError, TypeError):
        # Something is missing or of another type.
        pass
    return _judge(claims, policy, signer, now)


def _judge(claims: dict[str, Any], policy: IssuerPolicy, signer: Key | None, now: float) -> VerifiedToken:
    """The same with care: any claims at all, and why they are refused."""
    if "events" in claims:
        # RFC 8417: a security event, or a logout token, also where its `typ` does not say so.
        raise TokenError(Reason.TOKEN_WRONG_TYPE, "it has `events`")
    _check_audiences(claims.get("aud"), policy.audiences)
    subject, token_id = claims.get("sub"), claims.get("jti")
    if type(subject) is not str or not 0 < len(subject) <= NAME_LIMIT or not subject.isprintable():
        _refuse_name("sub", subject, Reason.TOKEN_SUBJECT_MISSING)
    begins, ends = _window(claims, policy, now)
    _require(claims, policy)
    user = _user(claims, policy)
    if (type(token_id) is not str or not token_id) and "jti" in claims:
        raise TokenError(Reason.TOKEN_CLAIM_MALFORMED, "`jti` is not text")
    return VerifiedToken(user, _groups(claims, policy), begins, ends, signer, claims)


def _window(claims: dict[str, Any], policy: IssuerPolicy, now: float) -> tuple[int, int]:
    """The moments from which and until which the token holds, with now between them."""
    leeway = policy.leeway
    expires, not_before, issued = claims.get("exp"), claims.get("nbf"), claims.get("iat")
    if type(expires) is not int or not 0 <= expires <= LATEST_DATE:
        _refuse_date(claims, "exp")
    begins, ends = -leeway, expires + leeway
    if now >= ends:
        raise TokenError(Reason.TOKEN_EXPIRED, _when("ended", expires, now))
    if not_before is not None or "nbf" in claims:
        if type(not_before) is not int or not 0 <= not_before <= LATEST_DATE:
            _refuse_date(claims, "nbf")
        begins = not_before - leeway
        if now < begins:
            raise TokenError(Reason.TOKEN_NOT_YET_VALID, _when("begins", not_before, now))
    if issued is not None or "iat" in claims:
        if type(issued) is not int or not 0 <= issued <= LATEST_DATE:
            _refuse_date(claims, "iat")
        if now < issued - leeway:
            raise TokenError(Reason.TOKEN_ISSUED_IN_FUTURE, _when("issued", issued, now))
        if begins < issued - leeway:  # noqa: PLR1730 - max() costs three times as much
            begins = issued - leeway
    if policy.longest_age is not None:
        if issued is None:
            raise TokenError(Reason.TOKEN_CLAIM_MISSING, "`iat`, from which its age is counted")
        ends = min(ends, issued + policy.longest_age + leeway)
        if now >= ends:
            raise TokenError(Reason.TOKEN_TOO_OLD, _when("issued", issued, now))
    return begins, ends


def _when(what: str, moment: int, now: float) -> str:
    return f"{what} {moment_text(moment)}, now {moment_text(int(now))}"


def _require(claims: dict[str, Any], policy: IssuerPolicy) -> None:
    for wanted in policy.required_paths:
        if follow(claims, wanted) is None:
            raise TokenError(Reason.TOKEN_CLAIM_MISSING, f"`{'.'.join(wanted)}`")


def _user(claims: dict[str, Any], policy: IssuerPolicy) -> str:
    user = follow(claims, policy.user_path)
    if type(user) is not str or not 0 < len(user) <= NAME_LIMIT or not user.isprintable():
        _refuse_name(policy.user_claim, user, Reason.TOKEN_USER_MISSING)
    if policy.user_claim == "email" and "email_verified" in claims:
        verified = claims["email_verified"]
        # As text it comes from Amazon Cognito and Apple; 1 is not true.
        if verified is not True and verified != "true":
            raise TokenError(Reason.TOKEN_EMAIL_UNVERIFIED)
    return user


def _groups(claims: dict[str, Any], policy: IssuerPolicy) -> tuple[str, ...]:
    """A list of names; one name alone counts as a list of it, nothing as an empty one."""
    value = None if policy.groups_path is None else follow(claims, policy.groups_path)
    if value is None:
        return ()
    names = [value] if type(value) is str else value
    if type(names) is list and all(type(name) is str and name and name.isprintable() for name in names):
        return tuple(names)
    raise TokenError(Reason.TOKEN_CLAIM_MALFORMED, "the groups are not a list of names")


def _check_audiences(audience: object, ours: frozenset[str]) -> None:
    if audience is None or audience in ("", []):
        raise TokenError(Reason.TOKEN_AUDIENCE_MISSING)
    names = [audience] if type(audience) is str else audience
    if type(names) is not list or not all(type(name) is str for name in names):
        raise TokenError(Reason.TOKEN_CLAIM_MALFORMED, "`aud` is neither a name nor a list of names")
    if ours.isdisjoint(names):
        wanted = ", ".join(sorted(ours))[:128]
        raise TokenError(Reason.TOKEN_WRONG_AUDIENCE, f"aud {str(audience)[:128]!a}, wanted {wanted!a}")


def _name(value: object) -> str | None:
    return short(value) if type(value) is str and value else None


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


def _refuse_date(claims: Mapping[str, Any], name: str) -> NoReturn:
    if name not in claims:
        raise TokenError(Reason.TOKEN_EXPIRY_MISSING)
    value = claims[name]
    raise TokenError(Reason.TOKEN_DATE_MALFORMED, f"`{name}` is {type(value).__name__} {str(value)[:32]!a}")
