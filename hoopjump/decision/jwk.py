"""Key sets of issuers: RFC 7517 and 7518 section 6, RFC 8037 section 2 (Ed25519), thumbprints of RFC 7638.

A set that cannot be read is an error. A key in it that cannot be used (for encryption, too weak, of an unknown type)
stays in the set with the reason, so that a token which names it is refused for that.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from hoopjump.decision.jose import TokenError, decode_segment, encode_segment, parse_object
from hoopjump.decision.keys import is_small_order
from hoopjump.decision.reasons import Reason

SET_LIMIT: Final = 256 * 1024
COUNT_LIMIT: Final = 100
KID_LIMIT: Final = 255

RSA_SMALLEST: Final = 2048  # RFC 7518 section 3.3
RSA_LARGEST: Final = 8192  # what one verification may cost

PublicPrimitive = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_ALGORITHMS: Final[dict[str, frozenset[str]]] = {
    "RSA": frozenset({"RS256", "RS384", "RS512", "PS256"}),
    "P-256": frozenset({"ES256"}),
    "P-384": frozenset({"ES384"}),
    "Ed25519": frozenset({"EdDSA"}),
}
_CURVES: Final[dict[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
# Keys on these have a thumbprint: a token may be bound to one that no token is signed with.
_NAMED_CURVES: Final[dict[str, ec.EllipticCurve]] = {**_CURVES, "P-521": ec.SECP521R1()}
# Parameters of private and symmetric keys (RFC 7518 section 6): whoever publishes one has lost the key.
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class KeySetError(Exception):
    """A key set cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a set.

    ``kind`` is RSA, a curve, or what the set says; ``thumbprint`` (RFC 7638) is empty for a key that cannot be read.
    ``algorithms`` are those it may verify: none when there is a ``flaw``, whose words are in ``why``.
    """

    kid: str | None
    kind: str
    thumbprint: str
    primitive: PublicPrimitive | None
    algorithms: frozenset[str]
    flaw: Reason | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class KeySet:
    """An issuer's keys; ``named`` leaves out what several of them are called, and has a single one under None too."""

    keys: tuple[Key, ...]
    named: Mapping[str | None, Key]
    repeated: frozenset[str]

    @classmethod
    def of(cls, *keys: Key) -> KeySet:
        """The set of some keys."""
        counts = Counter(key.kid for key in keys if key.kid is not None)
        named: dict[str | None, Key] = {key.kid: key for key in keys if key.kid is not None and counts[key.kid] == 1}
        if len(keys) == 1:
            named[None] = keys[0]
        return cls(keys, named, frozenset(kid for kid, count in counts.items() if count > 1))

    def find(self, kid: str | None) -> Key:
        """The key that a token means; raises :class:`TokenError`.

        A set with a single key may leave it, and a token its choice, unnamed.
        """
        key = self.named.get(kid)
        if key is not None:
            return key
        if kid is None:
            raise TokenError(Reason.TOKEN_KEY_UNNAMED, f"no `kid`, and {len(self.keys)} keys in the set")
        if kid in self.repeated:
            raise TokenError(Reason.TOKEN_KEY_REPEATED, f"kid {kid[:64]!a}")
        if len(self.keys) == 1 and self.keys[0].kid is None:
            return self.keys[0]
        raise TokenError(Reason.TOKEN_KEY_UNKNOWN, f"kid {kid[:64]!a}")


def parse_key_set(data: bytes, *, empty: bool = False) -> KeySet:
    """Read a JWK set; raises :class:`KeySetError`. ``empty``: it may be without keys (RFC 7517 section 5.1)."""
    if len(data) > SET_LIMIT:
        raise KeySetError(f"the key set is larger than {SET_LIMIT} bytes")
    try:
        members = parse_object(data)
    except TokenError as error:
        raise KeySetError(f"the key set cannot be read: {error.detail}") from error
    keys = members.get("keys")
    if type(keys) is not list or not all(type(key) is dict for key in keys):
        raise KeySetError("the key set has no list `keys` of objects")
    if len(keys) > COUNT_LIMIT or not (keys or empty):
        raise KeySetError(f"the key set has {len(keys)} keys; 1 to {COUNT_LIMIT} are taken")
    return KeySet.of(*map(parse_key, keys))


def parse_key(members: Mapping[str, Any]) -> Key:
    """Read one public key; what is wrong with it becomes its ``flaw``."""
    kid = members.get("kid")
    if "kid" in members and type(kid) is not str:
        return Key(None, _kind(members), "", None, frozenset(), Reason.TOKEN_KEY_UNFIT, "`kid` is not text")
    if kid is not None and len(kid) > KID_LIMIT:
        why = f"`kid` is longer than {KID_LIMIT} characters"
        return Key(None, _kind(members), "", None, frozenset(), Reason.TOKEN_KEY_UNFIT, why)
    kind, print_, primitive = _kind(members), "", None
    try:
        kind, readable = _primitive(members)
        print_ = thumbprint(readable)
        primitive, algorithms = readable, _permitted(members, kind)
    except _FlawError as flaw:
        return Key(kid, kind, print_, primitive, frozenset(), flaw.reason, str(flaw))
    return Key(kid, kind, print_, primitive, algorithms)


class _FlawError(Exception):
    def __init__(self, why: str, reason: Reason = Reason.TOKEN_KEY_UNFIT) -> None:
        super().__init__(why)
        self.reason = reason


def _kind(members: Mapping[str, Any]) -> str:
    kind = members.get("crv", members.get("kty"))
    return kind[:32] if type(kind) is str else "unknown"


def _primitive(members: Mapping[str, Any]) -> tuple[str, PublicPrimitive]:
    if not _PRIVATE.isdisjoint(members):
        raise _FlawError("holds a private or symmetric key")
    match members.get("kty"), members.get("crv"):
        case "RSA", _:
            return "RSA", _rsa(_number(members, "n"), _number(members, "e"))
        case "EC", str() as curve if curve in _CURVES:
            size = (_CURVES[curve].key_size + 7) // 8
            point = b"\x04" + _octets(members, "x", size) + _octets(members, "y", size)
            try:
                return curve, ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], point)
            except ValueError:
                raise _FlawError("the point is not on its curve") from None
        case "OKP", "Ed25519":
            raw = _octets(members, "x", 32)
            if is_small_order(raw):
                raise _FlawError("anybody can sign for this key (a point of small order)", Reason.TOKEN_KEY_WEAK)
            return "Ed25519", ed25519.Ed25519PublicKey.from_public_bytes(raw)
    raise _FlawError("is of a type that is not supported")


def _rsa(modulus: int, exponent: int) -> rsa.RSAPublicKey:
    bits = modulus.bit_length()
    if bits < RSA_SMALLEST:
        raise _FlawError(f"RSA of {bits} bits", Reason.TOKEN_KEY_WEAK)
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > 32 or modulus % 2 == 0:
        raise _FlawError("RSA with an even modulus, or an exponent not odd and of 2 to 32 bits", Reason.TOKEN_KEY_WEAK)
    if bits > RSA_LARGEST:
        raise _FlawError(f"RSA of more than {RSA_LARGEST} bits")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise _FlawError("the RSA key cannot be used") from None


def _octets(members: Mapping[str, Any], name: str, size: int | None = None) -> bytes:
    text = members.get(name)
    if type(text) is not str or not text:
        raise _FlawError(f"`{name}` is missing or not text")
    try:
        octets = decode_segment(text.encode("ascii"))
    except (TokenError, UnicodeEncodeError):
        raise _FlawError(f"`{name}` is not base64url") from None
    if size is not None and len(octets) != size:
        raise _FlawError(f"`{name}` does not have {size} bytes")
    return octets


def _number(members: Mapping[str, Any], name: str) -> int:
    octets = _octets(members, name)
    if octets[0] == 0:
        # RFC 7518 section 2, Base64urlUInt: the fewest octets.
        raise _FlawError(f"`{name}` begins with a zero octet")
    return int.from_bytes(octets, "big")


def _permitted(members: Mapping[str, Any], kind: str) -> frozenset[str]:
    """RFC 7517 sections 4.2 to 4.4."""
    if members.get("use", "sig") != "sig":
        raise _FlawError("its `use` is not sig")
    if "key_ops" in members:
        operations = members["key_ops"]
        if type(operations) is not list or "verify" not in operations:
            raise _FlawError("its `key_ops` do not include verify")
        if any(type(one) is not str or operations.count(one) > 1 for one in operations):
            raise _FlawError("its `key_ops` are not words, each once")
    if "alg" not in members:
        return _ALGORITHMS[kind]
    # RFC 9864 calls EdDSA with this curve Ed25519.
    algorithm = "EdDSA" if members["alg"] == "Ed25519" else members["alg"]
    if type(algorithm) is not str or algorithm not in _ALGORITHMS[kind]:
        raise _FlawError("its `alg` is not one for its type")
    return frozenset({algorithm})


def public_members(primitive: PublicPrimitive, curves: Mapping[str, ec.EllipticCurve] = _CURVES) -> dict[str, str]:
    """The required members of a public JWK; raises :class:`ValueError` for a curve that is not supported."""
    if isinstance(primitive, rsa.RSAPublicKey):
        numbers = primitive.public_numbers()
        return {"kty": "RSA", "n": _text(numbers.n), "e": _text(numbers.e)}
    if isinstance(primitive, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": encode_segment(primitive.public_bytes_raw()).decode()}
    for name, curve in curves.items():
        if curve.name == primitive.curve.name:
            point = primitive.public_numbers()
            size = (curve.key_size + 7) // 8
            return {"kty": "EC", "crv": name, "x": _text(point.x, size), "y": _text(point.y, size)}
    raise ValueError(f"the curve {primitive.curve.name} is not supported")


def _text(number: int, size: int | None = None) -> str:
    return encode_segment(number.to_bytes(size or (number.bit_length() + 7) // 8, "big")).decode()


def thumbprint(primitive: PublicPrimitive) -> str:
    """RFC 7638: base64url of the SHA-256 of the required members, in order and without white space."""
    members = json.dumps(public_members(primitive, _NAMED_CURVES), sort_keys=True, separators=(",", ":"))
    return encode_segment(hashlib.sha256(members.encode()).digest()).decode()
