"""Signatures of tokens: RFC 7518 section 3, RFC 8037 section 3.1."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from hoopjump.decision.jwk import Key

# A check of (signature, data) that raises InvalidSignature.
Check = Callable[[bytes, bytes], None]


def _rsa(scheme: padding.AsymmetricPadding, algorithm: hashes.HashAlgorithm) -> Callable[[Any], Check]:
    def of(key: rsa.RSAPublicKey) -> Check:
        verify = key.verify

        def check(signature: bytes, data: bytes) -> None:
            verify(signature, data, scheme, algorithm)

        return check

    return of


def _ecdsa(
    size: int, algorithm: hashes.HashAlgorithm, hashed: Callable[[bytes], hashlib._Hash]
) -> Callable[[Any], Check]:
    # hashlib's hash costs less than the one in the scheme, but only beside ECDSA.
    scheme = ec.ECDSA(Prehashed(algorithm))
    double = 2 * size
    # An integer of full length as DER has it, without and with the zero that keeps it positive; and what stands before
    # the first one and between both, by the first bits of both.
    integer = bytes((2, size)), bytes((2, size + 1, 0))
    frames = [[(bytes((0x30, double + 4 + r + s)) + integer[r], integer[s]) for s in range(2)] for r in range(2)]

    def of(key: ec.EllipticCurvePublicKey) -> Check:
        verify = key.verify

        def check(signature: bytes, data: bytes) -> None:
            if len(signature) != double:
                raise InvalidSignature
            r, s = signature[0], signature[size]  # the first bytes of both
            if r and s:
                before, between = frames[r >> 7][s >> 7]
                encoded = before + signature[:size] + between + signature[size:]
            else:
                numbers = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
                encoded = encode_dss_signature(*numbers)
            verify(encoded, hashed(data).digest(), scheme)

        return check

    return of


def _eddsa(key: ed25519.Ed25519PublicKey) -> Check:
    return key.verify


# Each is given keys of its own type alone: hoopjump.decision.jwk gives a key no other algorithms.
_CHECKS: Final[dict[str, Callable[[Any], Check]]] = {
    "EdDSA": _eddsa,
    "ES256": _ecdsa(32, hashes.SHA256(), hashlib.sha256),
    "ES384": _ecdsa(48, hashes.SHA384(), hashlib.sha384),
    "RS256": _rsa(padding.PKCS1v15(), hashes.SHA256()),
    "RS384": _rsa(padding.PKCS1v15(), hashes.SHA384()),
    "RS512": _rsa(padding.PKCS1v15(), hashes.SHA512()),
    "PS256": _rsa(padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
}


def signature_check(key: Key, algorithm: str) -> Check:
    """The check of signatures by a key, for one of its own algorithms."""
    return _CHECKS[algorithm](key.primitive)


def hmac_check(secret: bytes) -> Check:
    """The check of HS256."""

    def check(signature: bytes, data: bytes) -> None:
        if not hmac.compare_digest(hmac.digest(secret, data, "sha256"), signature):
            raise InvalidSignature

    return check
