"""Signatures of tokens: RFC 7518 section 3, RFC 8037 section 3.1."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

# A check of (key, signature, data) that raises InvalidSignature. Its key is of the type that the algorithm needs:
# hoopjump.decision.jwk gives every key only such algorithms.
Check = Callable[[Any, bytes, bytes], None]


def _rsa(scheme: padding.AsymmetricPadding, algorithm: hashes.HashAlgorithm) -> Check:
    def check(key: Any, signature: bytes, data: bytes) -> None:  # noqa: ANN401
        key.verify(signature, data, scheme, algorithm)

    return check


def _ecdsa(size: int, algorithm: hashes.HashAlgorithm) -> Check:
    scheme = ec.ECDSA(algorithm)
    double = 2 * size
    # An integer of full length as DER has it, without and with the zero that keeps it positive; and what stands before
    # the first one and between both, by which of them are so.
    integer = bytes((2, size)), bytes((2, size + 1, 0))
    frames = [[(bytes((0x30, double + 4 + r + s)) + integer[r], integer[s]) for s in range(2)] for r in range(2)]

    def check(key: Any, signature: bytes, data: bytes) -> None:  # noqa: ANN401
        if len(signature) != double:
            raise InvalidSignature
        r, s = signature[0], signature[size]
        if r and s:
            before, between = frames[r >> 7][s >> 7]
            der = before + signature[:size] + between + signature[size:]
        else:
            der = encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))
        key.verify(der, data, scheme)

    return check


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
