"""Signatures of tokens: RFC 7518 section 3, RFC 8037 section 3.1."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

# A check of (key, signature, data) that raises InvalidSignature. Its key is of the type that the algorithm needs:
# hoopjump.decision.jwk gives every key only such algorithms.
Check = Callable[[Any, bytes, bytes], None]


def _rsa(scheme: padding.AsymmetricPadding, digest: hashes.HashAlgorithm) -> Check:
    def check(key: Any, signature: bytes, data: bytes) -> None:  # noqa: ANN401
        key.verify(signature, data, scheme, digest)

    return check


def _ecdsa(size: int, digest: hashes.HashAlgorithm) -> Check:
    scheme = ec.ECDSA(digest)

    def check(key: Any, signature: bytes, data: bytes) -> None:  # noqa: ANN401
        if len(signature) != 2 * size:
            raise InvalidSignature
        r, s = _integer(signature[:size]), _integer(signature[size:])
        # Both integers are far too short for DER's long form of lengths, at these sizes.
        key.verify(bytes((0x30, len(r) + len(s))) + r + s, data, scheme)

    return check


def _integer(octets: bytes) -> bytes:
    """A DER INTEGER, shortest form. Zero becomes an empty one, which OpenSSL refuses, as it does zero."""
    octets = octets.lstrip(b"\0")
    if octets and octets[0] >= 0x80:
        octets = b"\0" + octets
    return bytes((2, len(octets))) + octets


def _eddsa(key: Any, signature: bytes, data: bytes) -> None:  # noqa: ANN401
    key.verify(signature, data)


CHECKS: Final[dict[str, Check]] = {
    "EdDSA": _eddsa,
    "ES256": _ecdsa(32, hashes.SHA256()),
    "ES384": _ecdsa(48, hashes.SHA384()),
    "RS256": _rsa(padding.PKCS1v15(), hashes.SHA256()),
    "RS384": _rsa(padding.PKCS1v15(), hashes.SHA384()),
    "RS512": _rsa(padding.PKCS1v15(), hashes.SHA512()),
    "PS256": _rsa(padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
}


def check_hs256(secret: bytes, signature: bytes, data: bytes) -> None:
    """Raises :class:`InvalidSignature` when it is not the HMAC."""
    if not hmac.compare_digest(hmac.digest(secret, data, "sha256"), signature):
        raise InvalidSignature
