"""Authorities that are none, and signatures that cannot be signatures."""

from __future__ import annotations

from tests.decision.forge import CA, Ed25519, Rsa, Signer, blob, mpint, string
from tests.hostile.certificates.forge import P256, P384, RSA, RSA_NUMBERS, SK_ECDSA, SK_ED25519, Fresh, Row, rsa_fields
from tests.hostile.certificates.keys import COMPRESSED, OFF_CURVE, SMALL_ORDER

DSA_KEY = string("ssh-dss") + mpint(2**1024 - 1) + mpint(2**160 - 1) + mpint(2) + mpint(3)


def signed_by(ca: Signer, signature: bytes) -> Fresh:
    """A certificate with the signature given."""
    return Fresh(ca=ca, signature=signature)


def sha1() -> Fresh:
    """What OpenSSH before 8.2 made of an RSA authority."""
    return Fresh(ca=Rsa(2048, "ssh-rsa"))


TABLE: dict[str, tuple[Row, str]] = {
    "ca-empty": (Fresh(ca_blob=b""), "signature key"),
    "ca-unknown-type": (Fresh(ca_blob=string("ssh-ed448") + string(b"k" * 57)), "signature key"),
    "ca-dsa": (Fresh(ca_blob=DSA_KEY, signature=string("ssh-dss") + string(b"s" * 40)), "signature key"),
    "ca-is-a-certificate": (Fresh(ca_blob=Fresh().blob), "signature key"),
    "ca-is-a-certificate-of-itself": (Fresh(ca_blob=Fresh(key=CA).blob), "signature key"),
    "ca-with-tail": (Fresh(ca_blob=blob(CA) + b"\0"), "signature key"),
    "ca-rsa-exponent-1": (
        Fresh(ca_blob=string("ssh-rsa") + rsa_fields(1, RSA_NUMBERS.n), signature=RSA.sign(b"")),
        "signature key",
    ),
    "ca-rsa-512": (Fresh(ca_blob=string("ssh-rsa") + rsa_fields(3, 2**511 + 1), signature=b""), "signature key"),
    "ca-off-curve": (
        Fresh(ca_blob=string("ecdsa-sha2-nistp256") + string("nistp256") + string(OFF_CURVE)),
        "signature key",
    ),
    "signature-sha1": (sha1(), "signature algorithm"),
    "signature-empty": (Fresh(signature=b""), "signature algorithm"),
    "signature-without-value": (Fresh(signature=string("ssh-ed25519")), "signature"),
    "signature-of-another-type": (Fresh(signature=RSA.sign(b"")), "signature algorithm"),
    "signature-plain-from-fido-key": (Fresh(ca=SK_ED25519, signature=CA.sign(b"")), "signature algorithm"),
    "signature-fido-from-plain-key": (Fresh(signature=SK_ED25519.sign(b"")), "signature algorithm"),
    "signature-webauthn": (
        Fresh(ca=SK_ECDSA, signature=string("webauthn-sk-ecdsa-sha2-nistp256@openssh.com") + string(b"")),
        "signature algorithm",
    ),
    "signature-with-tail": (Fresh(signature=CA.sign(b"") + b"\0"), "signature"),
    "signature-ed25519-short": (Fresh(signature=string("ssh-ed25519") + string(b"s" * 63)), "signature"),
    "signature-ed25519-long": (Fresh(signature=string("ssh-ed25519") + string(b"s" * 65)), "signature"),
    "signature-rsa-empty": (signed_by(RSA, string("rsa-sha2-512") + string(b"")), "signature"),
    "signature-rsa-long": (signed_by(RSA, string("rsa-sha2-512") + string(b"s" * 257)), "signature"),
    "signature-ecdsa-other-curve": (signed_by(P256, P384.sign(b"")), "signature algorithm"),
    "signature-ecdsa-negative": (
        signed_by(P256, string(P256.type) + string(string(b"\xff" * 32) + mpint(1))),
        "signature r",
    ),
    "signature-ecdsa-padded": (
        signed_by(P256, string(P256.type) + string(string(b"\0\1") + mpint(1))),
        "signature r",
    ),
    "signature-ecdsa-huge": (
        signed_by(P256, string(P256.type) + string(mpint(1) + mpint(2**4000))),
        "signature s",
    ),
    "signature-ecdsa-with-tail": (
        signed_by(P256, string(P256.type) + string(mpint(1) + mpint(1) + mpint(1))),
        "signature",
    ),
    "signature-ecdsa-der": (signed_by(P256, string(P256.type) + string(b"\x30\x06\2\1\1\2\1\1")), "signature r"),
    "signature-fido-without-counter": (
        Fresh(ca=SK_ED25519, signature=string(SK_ED25519.type) + string(b"s" * 64) + b"\1"),
        "FIDO counter",
    ),
    "signature-fido-with-tail": (Fresh(ca=SK_ED25519, signature=SK_ED25519.sign(b"") + b"\0"), "signature"),
    **{
        f"ca-small-order-{number}": (
            Fresh(
                ca_blob=string("ssh-ed25519") + string(raw), signature=string("ssh-ed25519") + string(b"\1" + bytes(63))
            ),
            "signature key",
        )
        for number, raw in enumerate(SMALL_ORDER)
    },
    "ca-cut-off": (Fresh(ca_blob=blob(CA)[:-1]), "signature key"),
    "ca-only-a-type": (Fresh(ca_blob=string("ssh-ed25519")), "signature key"),
    "ca-type-of-a-signature": (
        Fresh(ca_blob=string("rsa-sha2-512") + RSA.fields, signature=RSA.sign(b"")),
        "signature key",
    ),
    "ca-compressed-point": (
        Fresh(ca=P256, ca_blob=string("ecdsa-sha2-nistp256") + string("nistp256") + string(COMPRESSED)),
        "signature key",
    ),
    "ca-fido-without-application": (
        Fresh(ca_blob=string(SK_ED25519.type) + Ed25519.fields.fget(SK_ED25519)),  # type: ignore[attr-defined]
        "signature key",
    ),
    "ca-twice": (Fresh(ca_blob=blob(CA) + blob(CA)), "signature key"),
    "ca-is-a-fido-certificate": (Fresh(ca_blob=Fresh(key=SK_ED25519).blob), "signature key"),
    "signature-none": (Fresh().signed, "signature"),
    "signature-algorithm-none": (Fresh(signature=string("none") + string(b"")), "signature algorithm"),
    "signature-algorithm-with-nul": (
        Fresh(signature=string("ssh-ed25519\0") + string(bytes(64))),
        "signature algorithm",
    ),
    "signature-algorithm-of-a-certificate": (
        signed_by(RSA, string("rsa-sha2-512-cert-v01@openssh.com") + string(bytes(256))),
        "signature algorithm",
    ),
    "signature-md5": (signed_by(RSA, string("ssh-rsa-md5") + string(bytes(256))), "signature algorithm"),
    "signature-sha-384": (signed_by(RSA, string("rsa-sha2-384") + string(bytes(256))), "signature algorithm"),
    "signature-dsa-from-ed25519": (
        Fresh(signature=string("ssh-dss") + string(bytes(40))),
        "signature algorithm",
    ),
    "signature-without-wrapping": (Fresh(signature=bytes(64)), "signature algorithm"),
    "signature-wrapped-twice": (Fresh(signature=string(CA.sign(b""))), "signature algorithm"),
    "signature-ecdsa-raw": (signed_by(P256, string(P256.type) + string(b"\1" * 64)), "signature r"),
    "signature-ecdsa-without-s": (signed_by(P256, string(P256.type) + string(mpint(1))), "signature s"),
    "signature-fido-counter-cut-off": (Fresh(ca=SK_ED25519, signature=SK_ED25519.sign(b"")[:-1]), "FIDO counter"),
    "signature-fido-without-flags": (
        Fresh(ca=SK_ED25519, signature=string(SK_ED25519.type) + string(bytes(64))),
        "FIDO flags",
    ),
}
