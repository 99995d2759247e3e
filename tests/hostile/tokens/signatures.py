"""Signatures that some verifier somewhere has taken, and that are not those of the algorithm."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.hostile.tokens.forge import PRIVATE, SECRET, SHARING, claims, segment, text

ED_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
RSA: Final[Any] = PRIVATE["rsa"]
RSA_SIZE: Final = 256
# RFC 8017 section 9.2, note 1.
SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
SHA256_INFO_WITHOUT_NULL: Final = bytes.fromhex("302f300b0609608648016503040201" + "0420")
SHA1_INFO: Final = bytes.fromhex("3021300906052b0e03021a05000414")


def signed(algorithm: str, kid: str) -> bytes:
    """What a signature is made of: a header with this algorithm and key, and good claims."""
    return segment(text({"alg": algorithm, "typ": "JWT", "kid": kid})) + b"." + segment(text(claims()))


RS256, PS256, ED = signed("RS256", "rsa"), signed("PS256", "rsa"), signed("EdDSA", "ed")
DIGEST: Final = hashlib.sha256(RS256).digest()


def ended(beginning: bytes, tail: bytes) -> bytes:
    """A token of its two first parts and a signature."""
    return beginning + b"." + segment(tail)


def raw(block: bytes) -> bytes:
    """An RS256 token whose signature is made of this block, without any padding of the library's."""
    numbers = RSA.private_numbers()
    number = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
    return ended(RS256, number.to_bytes(RSA_SIZE, "big"))


def padded(end: bytes, kind: int = 1, behind: bytes = b"") -> bytes:
    """PKCS #1 v1.5 (RFC 8017 section 9.2), with an end of its own, another block type, or something behind."""
    filler = b"\xff" * (RSA_SIZE - 3 - len(end) - len(behind))
    return raw(bytes((0, kind)) + filler + b"\0" + end + behind)


def salted(salt: int, mask: hashes.HashAlgorithm, digest: hashes.HashAlgorithm | None = None) -> bytes:
    """PS256 with a salt of this many bytes and other hashes; RFC 7518 section 3.5 has 32, and SHA-256 in both."""
    return ended(PS256, RSA.sign(PS256, padding.PSS(padding.MGF1(mask), salt), digest or hashes.SHA256()))


def larger() -> bytes:
    """Signature plus modulus: the same number to who forgets to look at its size, and one byte or none longer."""
    good = RSA.sign(RS256, padding.PKCS1v15(), hashes.SHA256())
    number = int.from_bytes(good, "big") + RSA.public_key().public_numbers().n
    return ended(RS256, number.to_bytes((number.bit_length() + 7) // 8, "big"))


def other_scalar() -> bytes:
    """The order added to S (RFC 8032 section 5.1.7 refuses it, or every signature would have siblings)."""
    good = PRIVATE["ed"].sign(ED)
    scalar = int.from_bytes(good[32:], "little") + ED_ORDER
    return ended(ED, good[:32] + scalar.to_bytes(32, "little"))


def shared(tail: slice, more: bytes = b"") -> bytes:
    """Of a good HMAC this part, and what follows it."""
    beginning = segment('{"alg":"HS256"}') + b"." + segment(text(claims(iss=SHARING)))
    return ended(beginning, hmac.digest(SECRET, beginning, "sha256")[tail] + more)


TABLE: dict[str, tuple[bytes, str]] = {
    name: (made, "bad-signature")
    for name, made in {
        # RSA: nothing but the one right block is a signature (CVE-2006-4339, CVE-2018-15836 and their kin)
        "rsa-without-parameters": padded(SHA256_INFO_WITHOUT_NULL + DIGEST),
        "rsa-of-another-hash": padded(SHA1_INFO + hashlib.sha1(RS256, usedforsecurity=False).digest()),
        "rsa-without-hash-name": padded(DIGEST),
        "rsa-rubbish-behind": padded(SHA256_INFO + DIGEST, behind=bytes(64)),
        "rsa-padding-of-encryption": padded(SHA256_INFO + DIGEST, kind=2),
        "rsa-padding-of-zeros": raw(SHA256_INFO.rjust(RSA_SIZE - 32, b"\0") + DIGEST),
        "rsa-plus-modulus": larger(),
        "pss-of-another-hash": salted(64, hashes.SHA512(), hashes.SHA512()),
        "pss-without-salt": salted(0, hashes.SHA256()),
        "pss-short-salt": salted(20, hashes.SHA256()),
        "pss-long-salt": salted(222, hashes.SHA256()),
        "pss-sha-1-in-its-mask": salted(32, hashes.SHA1()),
        # Ed25519
        "ed-other-scalar": other_scalar(),
        "ed-of-the-hash": ended(ED, PRIVATE["ed"].sign(hashlib.sha512(ED).digest())),
        "ed-of-the-claims-alone": ended(ED, PRIVATE["ed"].sign(ED.partition(b".")[2])),
        # HMAC
        "hmac-empty": shared(slice(0)),
        "hmac-half": shared(slice(16)),
        "hmac-one-byte-less": shared(slice(31)),
        "hmac-longer": shared(slice(None), b"\0"),
    }.items()
}


def good() -> list[bytes]:
    """The same signatures as they should be, so that a test can tell that only what is wrong is refused."""
    return [
        padded(SHA256_INFO + DIGEST),
        salted(32, hashes.SHA256()),
        ended(ED, PRIVATE["ed"].sign(ED)),
        shared(slice(None)),
    ]
