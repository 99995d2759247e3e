"""Certified keys that are none, or that anybody has."""

from __future__ import annotations

from tests.decision.forge import Ed25519, mpint, string
from tests.hostile.certificates.forge import P256, P384, RSA, RSA_NUMBERS, SK_ECDSA, SK_ED25519, Fresh, Row, rsa_fields

COMPRESSED = bytes([2]) + P256.point[1:33]
OFF_CURVE = P256.point[:-1] + bytes([P256.point[-1] ^ 1])
P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1

_SMALL_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
SMALL_ORDER = tuple(
    raw[:31] + bytes([raw[31] | sign]) for raw in map(bytes.fromhex, _SMALL_ORDER) for sign in (0, 0x80)
)
"""Ed25519 keys that anybody can sign for: the points of small order, in every encoding, with both signs."""

RSA_BYTES = RSA_NUMBERS.n.to_bytes(256, "big")


def on_p256(point: bytes) -> Row:
    """A certificate of a key with this point."""
    return Fresh(key=P256, key_fields=string("nistp256") + string(point))


TABLE: dict[str, tuple[Row, str]] = {
    "ed25519-of-31-bytes": (Fresh(key_fields=string(b"k" * 31)), "public key"),
    "ed25519-of-33-bytes": (Fresh(key_fields=string(b"k" * 33)), "public key"),
    "rsa-768": (Fresh(key=RSA, key_fields=rsa_fields(65537, 2**767 + 1)), "RSA modulus"),
    "rsa-1023": (Fresh(key=RSA, key_fields=rsa_fields(65537, 2**1022 + 1)), "RSA modulus"),
    "rsa-16392": (Fresh(key=RSA, key_fields=rsa_fields(65537, 2**16391 + 1)), "RSA modulus"),
    "rsa-even-modulus": (Fresh(key=RSA, key_fields=rsa_fields(65537, RSA_NUMBERS.n - 1)), "RSA modulus"),
    "rsa-modulus-zero": (Fresh(key=RSA, key_fields=rsa_fields(65537, 0)), "RSA modulus"),
    "rsa-exponent-0": (Fresh(key=RSA, key_fields=rsa_fields(0, RSA_NUMBERS.n)), "RSA exponent"),
    "rsa-exponent-1": (Fresh(key=RSA, key_fields=rsa_fields(1, RSA_NUMBERS.n)), "RSA exponent"),
    "rsa-exponent-even": (Fresh(key=RSA, key_fields=rsa_fields(65536, RSA_NUMBERS.n)), "RSA exponent"),
    "rsa-exponent-huge": (Fresh(key=RSA, key_fields=rsa_fields(2**65 + 1, RSA_NUMBERS.n)), "RSA exponent"),
    "rsa-negative-modulus": (Fresh(key=RSA, key_fields=mpint(65537) + string(b"\xff" * 256)), "RSA modulus"),
    "rsa-padded-modulus": (
        Fresh(key=RSA, key_fields=mpint(65537) + string(b"\0\0" + RSA_NUMBERS.n.to_bytes(256, "big"))),
        "RSA modulus",
    ),
    "rsa-padded-exponent": (Fresh(key=RSA, key_fields=string(b"\0\3") + mpint(RSA_NUMBERS.n)), "RSA exponent"),
    "ecdsa-other-curve-name": (Fresh(key=P256, key_fields=string("nistp384") + string(P256.point)), "curve"),
    "ecdsa-other-curve-point": (Fresh(key=P256, key_fields=string("nistp256") + string(P384.point)), "public key"),
    "ecdsa-compressed": (Fresh(key=P256, key_fields=string("nistp256") + string(COMPRESSED)), "public key"),
    "ecdsa-hybrid": (
        Fresh(key=P256, key_fields=string("nistp256") + string(bytes([6]) + P256.point[1:])),
        "public key",
    ),
    "ecdsa-infinity": (Fresh(key=P256, key_fields=string("nistp256") + string(b"\0")), "public key"),
    "ecdsa-empty": (Fresh(key=P256, key_fields=string("nistp256") + string(b"")), "public key"),
    "ecdsa-off-curve": (Fresh(key=P256, key_fields=string("nistp256") + string(OFF_CURVE)), "public key"),
    "ecdsa-point-zero": (
        Fresh(key=P256, key_fields=string("nistp256") + string(b"\4" + bytes(64))),
        "public key",
    ),
    "sk-ecdsa-off-curve": (
        Fresh(key=SK_ECDSA, key_fields=string("nistp256") + string(OFF_CURVE) + string("ssh:")),
        "public key",
    ),
    "sk-application-with-nul": (
        Fresh(key=SK_ED25519, key_fields=Ed25519.fields.fget(SK_ED25519) + string("ssh:\0")),  # type: ignore[attr-defined]
        "FIDO application",
    ),
    **{
        f"small-order-{number}": (Fresh(key_fields=string(raw)), "public key") for number, raw in enumerate(SMALL_ORDER)
    },
    "ed25519-empty": (Fresh(key_fields=string(b"")), "public key"),
    "sk-ed25519-small-order": (
        Fresh(key=SK_ED25519, key_fields=string(SMALL_ORDER[2]) + string("ssh:")),
        "public key",
    ),
    "sk-application-not-utf-8": (
        Fresh(key=SK_ED25519, key_fields=Ed25519.fields.fget(SK_ED25519) + string(b"ssh:\xff")),  # type: ignore[attr-defined]
        "FIDO application",
    ),
    "sk-ecdsa-other-curve-name": (
        Fresh(key=SK_ECDSA, key_fields=string("nistp384") + string(SK_ECDSA.point) + string("ssh:")),
        "curve",
    ),
    "rsa-modulus-and-exponent-swapped": (Fresh(key=RSA, key_fields=mpint(RSA_NUMBERS.n) + mpint(65537)), "RSA modulus"),
    "rsa-negative-exponent": (Fresh(key=RSA, key_fields=string(b"\xff") + mpint(RSA_NUMBERS.n)), "RSA exponent"),
    "rsa-exponent-2": (Fresh(key=RSA, key_fields=rsa_fields(2, RSA_NUMBERS.n)), "RSA exponent"),
    "rsa-modulus-without-its-zero": (Fresh(key=RSA, key_fields=mpint(65537) + string(RSA_BYTES)), "RSA modulus"),
    "rsa-modulus-of-60-kB": (Fresh(key=RSA, key_fields=rsa_fields(3, 2**480_000 + 1)), "RSA modulus"),
    "ecdsa-short-by-one": (on_p256(P256.point[:-1]), "public key"),
    "ecdsa-long-by-one": (on_p256(P256.point + b"\0"), "public key"),
    "ecdsa-without-its-4": (on_p256(P256.point[1:]), "public key"),
    "ecdsa-coordinates-of-the-prime": (on_p256(b"\4" + P256_PRIME.to_bytes(32, "big") * 2), "public key"),
    "ecdsa-coordinates-all-ones": (on_p256(b"\4" + b"\xff" * 64), "public key"),
    "ecdsa-coordinates-swapped": (on_p256(b"\4" + P256.point[33:] + P256.point[1:33]), "public key"),
    "ecdsa-curve-in-capitals": (Fresh(key=P256, key_fields=string("NISTP256") + string(P256.point)), "curve"),
    "ecdsa-curve-empty": (Fresh(key=P256, key_fields=string("") + string(P256.point)), "curve"),
}
