"""What is believed of an issuer of tokens: its name, its audiences, its keys, and which claims say who somebody is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hoopjump.decision.jwk import Key, KeySet
from hoopjump.decision.token_signature import Check

# The key of a token, None for a shared secret, and the check of its signature.
Route = tuple[Key | None, Check]

ALGORITHMS: Final = frozenset({"EdDSA", "ES256", "ES384", "RS256", "RS384", "RS512", "PS256"})
HMAC_ALGORITHM: Final = "HS256"
SECRET_SMALLEST: Final = 32  # RFC 7518 section 3.2

# RFC 9068 section 2.1 and RFC 7519 section 5.1.
USUAL_TYPES: Final = frozenset({"jwt", "at+jwt"})
# Tokens that say something other than who is asking: OpenID Connect Back-Channel Logout 1.0, RFC 8417, RFC 9449.
FOREIGN_TYPES: Final = frozenset({"logout+jwt", "secevent+jwt", "dpop+jwt"})

# A brace alone begins one random secret in 256.
_PUBLIC_KEY_TEXT: Final = re.compile(rb'-----BEGIN |(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ |\s*\{\s*"[ -~]{1,64}"\s*:')


def claim_path(name: str) -> tuple[str, ...]:
    """The names to follow to a claim: ``realm_access.roles`` are two, a name with ``:`` or ``/`` (a URL) is one.

    Raises :class:`ValueError` for an empty name or part.
    """
    parts = (name,) if ":" in name or "/" in name else tuple(name.split("."))
    if not all(parts):
        raise ValueError(f"{name!a} is not the name of a claim")
    return parts


def follow(claims: Mapping[str, Any], path: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
    """What stands at a path, None when nothing does."""
    value = claims.get(path[0])
    if len(path) == 1:
        return value
    for name in path[1:]:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


@dataclass(frozen=True, slots=True)
class IssuerPolicy:
    """What a token of an issuer must be like; raises :class:`ValueError` when that would let through what must not.

    ``user_claim``, ``groups_claim`` and ``required`` are as for :func:`claim_path`; ``types`` are values of ``typ`` in
    lower case without ``application/``, where "jwt" also stands for none; ``leeway`` and ``longest_age`` are seconds,
    the latter counted from ``iat``.
    """

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    user_claim: str = "sub"
    groups_claim: str | None = None
    required: tuple[str, ...] = ()
    types: frozenset[str] = USUAL_TYPES
    leeway: int = 30
    longest_age: int | None = None
    user_path: tuple[str, ...] = field(init=False)
    groups_path: tuple[str, ...] | None = field(init=False)
    required_paths: tuple[tuple[str, ...], ...] = field(init=False)
    # What every verification asks for: the audiences if the user is `sub`, no other claim is wanted and no age looked
    # at, else none; and the name of the groups where they stand at the top.
    usual_audiences: frozenset[str] = field(init=False)
    groups_name: str | None = field(init=False)

    def __post_init__(self) -> None:
        if not self.issuer or not self.audiences or "" in self.audiences:
            raise ValueError("an issuer needs a name and at least one audience")
        unknown = self.algorithms - ALGORITHMS - {HMAC_ALGORITHM}
        if unknown or not self.algorithms:
            raise ValueError(f"algorithms are some of {', '.join(sorted({*ALGORITHMS, HMAC_ALGORITHM}))}")
        if not self.types or not self.types.isdisjoint(FOREIGN_TYPES):
            raise ValueError(f"types cannot be empty, nor include {', '.join(sorted(FOREIGN_TYPES))}")
        if self.leeway < 0 or (self.longest_age is not None and self.longest_age <= 0):
            raise ValueError("leeway and longest age cannot be negative")
        put = object.__setattr__
        put(self, "user_path", claim_path(self.user_claim))
        put(self, "groups_path", claim_path(self.groups_claim) if self.groups_claim is not None else None)
        put(self, "required_paths", tuple(claim_path(name) for name in self.required))
        usual = self.user_claim == "sub" and not self.required and self.longest_age is None
        put(self, "usual_audiences", self.audiences if usual else frozenset())
        path = self.groups_path
        put(self, "groups_name", path[0] if path is not None and len(path) == 1 else None)


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """A secret that issuer and bastion share, for HS256: at least 32 bytes, else a :class:`ValueError`.

    What looks like a public key is refused: whoever takes one for a secret lets everybody sign (RFC 8725 section 2.1).
    """

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) < SECRET_SMALLEST:
            raise ValueError(f"a shared secret has at least {SECRET_SMALLEST} bytes")
        if _PUBLIC_KEY_TEXT.match(self.value):
            raise ValueError("this is a key or a key set, not a shared secret")


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer with what its signatures are checked by; :class:`ValueError` when algorithms and keys do not fit."""

    policy: IssuerPolicy
    keys: KeySet | SharedSecret
    # What headers, as they were sent, have come to so far.
    routes: dict[bytes, Route] = field(init=False, default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        secret = isinstance(self.keys, SharedSecret)
        if secret != (HMAC_ALGORITHM in self.policy.algorithms) or (secret and len(self.policy.algorithms) > 1):
            raise ValueError("HS256 goes with a shared secret and nothing else, all other algorithms with a key set")


def trust(*issuers: TrustedIssuer) -> dict[str, TrustedIssuer]:
    """Issuers by their names, as :func:`hoopjump.decision.token.verify` takes them; two of a name: ValueError."""
    by_name = {issuer.policy.issuer: issuer for issuer in issuers}
    if len(by_name) != len(issuers):
        raise ValueError("two issuers have the same name")
    return by_name
