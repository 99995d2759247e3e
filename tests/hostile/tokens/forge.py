"""Tokens made by hand, so that any part of them can be wrong, and signed so that only that part is."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hoopjump.decision.jwk import KeySet, parse_key_set, public_members
from hoopjump.decision.token_policy import ALGORITHMS, IssuerPolicy, SharedSecret, TrustedIssuer, trust

NOW = int(time.time())
ISSUER = "https://idp.example.com"
SINGLE = "https://single.example.com"
SHARING = "https://sharing.example.com"
MAILING = "https://mailing.example.com"
AUDIENCE = "bastion"
DAY = 86400

SECRET = secrets.token_urlsafe(32).encode()

PRIVATE: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
    "other": ed25519.Ed25519PrivateKey.generate(),
    "stranger": ed25519.Ed25519PrivateKey.generate(),
    "stranger-rsa": rsa.generate_private_key(65537, 2048),
    "weak": rsa.generate_private_key(65537, 1024),
    "nearly": rsa.generate_private_key(65537, 2047),
}
FITTING = {"p256": "ES256", "p384": "ES384", **dict.fromkeys(("rsa", "weak", "nearly", "stranger-rsa"), "RS256")}


def encoded(number: int) -> str:
    """As the members of an RSA key have it."""
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def pem(name: str) -> bytes:
    """A public key as an attacker may find it published."""
    public = PRIVATE[name].public_key()
    return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def jwk(name: str, **more: object) -> dict[str, object]:
    """The public half of a key, as a set has it."""
    return {**public_members(PRIVATE[name].public_key()), "kid": name, **more}


def without_kid(name: str, **more: object) -> dict[str, object]:
    """The same without its name."""
    key = jwk(name, **more)
    del key["kid"]
    return key


# The set of the issuer: good keys, and those that no token can be signed with.
JWKS: list[dict[str, object]] = [
    jwk("rsa"),
    jwk("p256", use="sig"),
    jwk("p384", key_ops=["verify"]),
    jwk("ed", alg="EdDSA"),
    jwk("weak"),
    jwk("nearly"),
    jwk("other", kid="twice"),
    jwk("ed", kid="twice"),
    jwk("ed", kid="for-encryption", use="enc"),
    jwk("ed", kid="for-signing-only", key_ops=["sign"]),
    jwk("ed", kid="for-nothing", key_ops=[]),
    jwk("ed", kid="ops-are-text", key_ops="verify"),
    jwk("ed", kid="ops-twice", key_ops=["verify", "verify"]),
    jwk("ed", kid="ops-with-a-list", key_ops=["verify", ["sign"]]),
    jwk("ed", kid="use-null", use=None),
    jwk("ed", kid="alg-null", alg=None),
    jwk("rsa", kid="for-RS512", alg="RS512"),
    jwk("rsa", kid="for-HS256", alg="HS256"),
    jwk("rsa", kid="for-OAEP", alg="RSA-OAEP", use="enc"),
    jwk("ed", kid="with-private", d="AAAA"),
    jwk("rsa", kid="exponent-one", e="AQ"),
    jwk("rsa", kid="exponent-even", e="AQAA"),
    jwk("rsa", kid="exponent-huge", e="AQAAAAE"),
    jwk("rsa", kid="modulus-huge", n=encoded((1 << 16383) + 1)),
    jwk("rsa", kid="modulus-even", n=encoded(PRIVATE["rsa"].public_key().public_numbers().n - 1)),
    jwk("rsa", kid="padded", n=str(jwk("rsa")["n"]) + "="),
    jwk("rsa", kid="leading-zero", n="AA" + str(jwk("rsa")["n"])),
    jwk("p256", kid="off-curve", y=jwk("p256")["x"]),
    jwk("p256", kid="wrong-curve", crv="P-384"),
    jwk("p256", kid="secp256k1", crv="secp256k1"),
    jwk("ed", kid="small-order", x="AQ" + "A" * 41),
    jwk("ed", kid="ed448", crv="Ed448"),
    jwk("ed", kid="short-x", x="AAAA"),
    {"kty": "oct", "kid": "published-secret", "k": base64.urlsafe_b64encode(SECRET).rstrip(b"=").decode()},
    {"kty": "lattice", "kid": "unknown-type"},
    {"kid": "no-type"},
]


def key_set(*keys: Mapping[str, object]) -> KeySet:
    """A set as a provider would publish it."""
    return parse_key_set(json.dumps({"keys": keys}).encode())


def policy(issuer: str, *algorithms: str, **more: Any) -> IssuerPolicy:
    """What the tests trust: one audience, groups, tokens of a day."""
    settings: dict[str, Any] = {"groups_claim": "groups", "longest_age": DAY, **more}
    return IssuerPolicy(issuer, frozenset({AUDIENCE}), frozenset(algorithms), **settings)


ISSUERS = trust(
    TrustedIssuer(policy(ISSUER, *ALGORITHMS, required=("email",)), key_set(*JWKS)),
    TrustedIssuer(policy(SINGLE, "EdDSA", types=frozenset({"at+jwt"})), key_set(without_kid("ed"))),
    TrustedIssuer(policy(SHARING, "HS256"), SharedSecret(SECRET)),
    TrustedIssuer(policy(MAILING, "EdDSA", user_claim="email"), key_set(jwk("ed"))),
)

DROP = object()


def changed(base: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """``base`` with members replaced, or left out where the change is :data:`DROP`."""
    return {name: value for name, value in {**base, **changes}.items() if value is not DROP}


def claims(**changes: object) -> dict[str, object]:
    """Those of a good token."""
    good: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "email": "alice@example.com",
        "groups": ["admins", "developers"],
        "exp": NOW + 600,
        "nbf": NOW - 10,
        "iat": NOW - 10,
        "jti": "token-1",
    }
    return changed(good, changes)


def text(value: object) -> str:
    """Compact JSON, as issuers write it."""
    return json.dumps(value, separators=(",", ":"))


def segment(data: bytes | str) -> bytes:
    """Base64url without padding, by the standard library and not by ours."""
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=")


def signature(algorithm: str, key: Any, data: bytes) -> bytes:
    """What the algorithm of this name makes; ``key`` is bytes for HMAC."""
    digests = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
    digest = digests.get(algorithm[2:], hashes.SHA256())
    if algorithm.startswith("HS"):
        return hmac.digest(key, data, f"sha{algorithm[2:]}")
    if algorithm.startswith("RS"):
        return bytes(key.sign(data, padding.PKCS1v15(), digest))
    if algorithm.startswith("PS"):
        return bytes(key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest))
    if algorithm.startswith("ES"):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        size = (key.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return bytes(key.sign(data))


def token(
    body: Mapping[str, object] | str | bytes | None = None,
    head: Mapping[str, object] | str | bytes | None = None,
    *,
    key: str = "ed",
    algorithm: str | None = None,
    secret: bytes | None = None,
) -> bytes:
    """A token, signed over what it says.

    ``head`` replaces members of the good header, or, as text, all of it; ``body`` is all of the claims. ``algorithm``
    is what signs, whatever the header says.
    """
    using = algorithm or FITTING.get(key, "EdDSA")
    if not isinstance(head, str | bytes):
        head = text(changed({"alg": using, "typ": "JWT", "kid": key}, head or {}))
    if not isinstance(body, str | bytes):
        body = text(claims() if body is None else body)
    signed = segment(head) + b"." + segment(body)
    return signed + b"." + segment(signature(using, secret or PRIVATE[key], signed))


def parts(good: bytes | None = None) -> list[bytes]:
    """The three segments of a good token."""
    return (good or token()).split(b".")
