"""Keys that must not sign, and signatures that are not."""

from __future__ import annotations

from hoopjump.decision.jwk import parse_key
from tests.hostile.tokens.forge import DROP, PRIVATE, SHARING, SINGLE, claims, jwk, parts, segment, signature, token

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def signed_with(tail: bytes, key: str = "ed") -> bytes:
    """A good token but for its signature."""
    head, body, _ = parts(token(key=key))
    return b".".join((head, body, segment(tail)))


def tail_of(key: str) -> bytes:
    """The bytes of a good signature."""
    head, body, _ = parts(token(key=key))
    good = {"p256": "ES256", "rsa": "RS256"}.get(key, "EdDSA")
    return signature(good, PRIVATE[key], head + b"." + body)


def swapped(part: int) -> bytes:
    """One segment of another good token."""
    first, second = parts(), parts(token(claims(sub="root"), key="other", head={"kid": "ed", "x": 1}))
    return b".".join(second[at] if at == part else first[at] for at in range(3))


def flipped(key: str, at: int) -> bytes:
    """A good signature with one bit turned."""
    tail = bytearray(tail_of(key))
    tail[at] ^= 1
    return signed_with(bytes(tail), key)


P256 = tail_of("p256")

TABLE: dict[str, tuple[bytes, str]] = {
    # which key
    "unnamed": (token(None, {"kid": DROP}), "key-unnamed"),
    "unknown": (token(None, {"kid": "nobody"}), "key-unknown"),
    "unknown-empty": (token(None, {"kid": ""}), "key-unknown"),
    "unknown-in-capitals": (token(None, {"kid": "ED"}), "key-unknown"),
    "unknown-path": (token(None, {"kid": "../../../dev/null"}), "key-unknown"),
    "unknown-query": (token(None, {"kid": "x' UNION SELECT 'k"}), "key-unknown"),
    "unknown-with-space": (token(None, {"kid": "ed "}), "key-unknown"),
    "unknown-ligature": (token(None, {"kid": "\ufb01nal"}), "key-unknown"),
    "unknown-as-thumbprint": (token(None, {"kid": parse_key(jwk("ed")).thumbprint}), "key-unknown"),
    "unknown-nul": (token(None, {"kid": "ed\0"}), "key-unknown"),
    "unknown-long": (token(None, {"kid": "k" * 8000}), "key-unknown"),
    "repeated": (token(None, {"kid": "twice"}), "key-repeated"),
    "repeated-other": (token(None, {"kid": "twice"}, key="other"), "key-repeated"),
    # keys that are not for this
    **{
        name: (token(None, {"kid": name}, key=key), "key-unfit")
        for name, key in {
            "for-encryption": "ed",
            "for-signing-only": "ed",
            "for-nothing": "ed",
            "ops-are-text": "ed",
            "ops-twice": "ed",
            "ops-with-a-list": "ed",
            "use-null": "ed",
            "alg-null": "ed",
            "for-RS512": "rsa",
            "for-HS256": "rsa",
            "for-OAEP": "rsa",
            "with-private": "ed",
            "padded": "rsa",
            "leading-zero": "rsa",
            "off-curve": "p256",
            "wrong-curve": "p256",
            "secp256k1": "p256",
            "ed448": "ed",
            "short-x": "ed",
            "unknown-type": "ed",
            "no-type": "ed",
            "published-secret": "ed",
            "modulus-huge": "rsa",
        }.items()
    },
    "weak": (token(key="weak"), "key-weak"),
    "one-bit-too-short": (token(key="nearly"), "key-weak"),
    "exponent-huge": (token(None, {"kid": "exponent-huge"}, key="rsa"), "key-weak"),
    "modulus-even": (token(None, {"kid": "modulus-even"}, key="rsa"), "key-weak"),
    "exponent-one": (token(None, {"kid": "exponent-one"}, key="rsa"), "key-weak"),
    "exponent-even": (token(None, {"kid": "exponent-even"}, key="rsa"), "key-weak"),
    "small-order": (token(None, {"kid": "small-order"}), "key-weak"),
    "rsa-for-eddsa": (token(None, {"kid": "rsa"}), "key-unfit"),
    "ed-for-rs256": (token(None, {"kid": "ed"}, key="rsa"), "key-unfit"),
    "p256-for-es384": (token(None, {"alg": "ES384"}, key="p256"), "key-unfit"),
    "p384-for-es256": (token(None, {"alg": "ES256"}, key="p384"), "key-unfit"),
    "p256-for-rs256": (token(None, {"kid": "p256"}, key="rsa"), "key-unfit"),
    # whose signature
    "of-a-stranger": (token(None, {"kid": "ed"}, key="stranger"), "bad-signature"),
    "of-a-stranger-rsa": (token(None, {"kid": "rsa"}, key="stranger-rsa"), "bad-signature"),
    "of-another-key-of-the-set": (token(None, {"kid": "ed"}, key="other"), "bad-signature"),
    "of-another-issuer": (token(claims(iss=SINGLE), {"kid": DROP, "typ": "at+jwt"}, key="other"), "bad-signature"),
    "of-another-secret": (token(claims(iss=SHARING), algorithm="HS256", secret=b"s" * 32), "bad-signature"),
    "of-an-empty-secret": (token(claims(iss=SHARING), algorithm="HS256", secret=b"\0"), "bad-signature"),
    "ps256-called-rs256": (token(None, {"alg": "RS256"}, key="rsa", algorithm="PS256"), "bad-signature"),
    "rs256-called-ps256": (token(None, {"alg": "PS256"}, key="rsa"), "bad-signature"),
    "rs512-called-rs256": (token(None, {"alg": "RS256"}, key="rsa", algorithm="RS512"), "bad-signature"),
    "other-header": (swapped(0), "bad-signature"),
    "other-claims": (swapped(1), "bad-signature"),
    "other-signature": (swapped(2), "bad-signature"),
    # what is no signature
    **{f"first-bit-turned-{key}": (flipped(key, 0), "bad-signature") for key in ("ed", "p256", "rsa")},
    **{f"last-bit-turned-{key}": (flipped(key, -1), "bad-signature") for key in ("ed", "p256", "rsa")},
    "ed-zeros": (signed_with(bytes(64)), "bad-signature"),
    "ed-short": (signed_with(tail_of("ed")[:-1]), "bad-signature"),
    "ed-long": (signed_with(tail_of("ed") + b"\0"), "bad-signature"),
    "ecdsa-empty": (signed_with(b"", "p256"), "bad-signature"),
    "ecdsa-zeros": (signed_with(bytes(64), "p256"), "bad-signature"),
    "ecdsa-r-zero": (signed_with(bytes(32) + P256[32:], "p256"), "bad-signature"),
    "ecdsa-s-zero": (signed_with(P256[:32] + bytes(32), "p256"), "bad-signature"),
    "ecdsa-order": (signed_with(P256_ORDER.to_bytes(32, "big") * 2, "p256"), "bad-signature"),
    "ecdsa-ones": (signed_with((31 * b"\0" + b"\1") * 2, "p256"), "bad-signature"),
    "ecdsa-short": (signed_with(P256[:-1], "p256"), "bad-signature"),
    "ecdsa-long": (signed_with(P256 + b"\0", "p256"), "bad-signature"),
    "ecdsa-as-der": (signed_with(b"\x30\x44\x02\x20" + P256[:32] + b"\x02\x20" + P256[32:], "p256"), "bad-signature"),
    "ecdsa-wrapped-twice": (signed_with(P256 + P256, "p256"), "bad-signature"),
    "rsa-empty": (signed_with(b"", "rsa"), "bad-signature"),
    "rsa-zeros": (signed_with(bytes(256), "rsa"), "bad-signature"),
    "rsa-one": (signed_with(bytes(255) + b"\1", "rsa"), "bad-signature"),
    "rsa-short": (signed_with(tail_of("rsa")[:-1], "rsa"), "bad-signature"),
    "rsa-with-zero-in-front": (signed_with(b"\0" + tail_of("rsa"), "rsa"), "bad-signature"),
    "rsa-all-ones": (signed_with(b"\xff" * 256, "rsa"), "bad-signature"),
}
