"""Public keys in SSH's wire encoding, and the signatures that they make.

Sources: RFC 4253 section 6.6 and RFC 8332 (RSA), RFC 5656 section 3.1 (ECDSA), RFC 8709 (Ed25519), PROTOCOL.u2f (FIDO
keys), and OpenSSH's ssh-rsa.c, ssh-ecdsa.c, ssh-ed25519.c, ssh-ecdsa-sk.c, ssh-ed25519-sk.c, which decide what sshd
takes. Signatures over certificates may be of SSH_ALLOWED_CA_SIGALGS (myproposal.h) only: no SHA-1, no DSA.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hoopjump.decision.wire import FormatError, Reader, encode_string, read_key_line

KEY_TEXT_LIMIT: Final = 16 * 1024

RSA_SMALLEST: Final = 1024  # sshkey.h SSH_RSA_MINIMUM_MODULUS_SIZE
RSA_LARGEST: Final = 16384  # sshbuf.h SSHBUF_MAX_BIGNUM

_ED25519: Final = "ssh-ed25519"
_RSA: Final = "ssh-rsa"
_SK_ED25519: Final = "sk-ssh-ed25519@openssh.com"
_SK_ECDSA: Final = "sk-ecdsa-sha2-nistp256@openssh.com"

# RFC 5656 section 6.2.1: the hash follows from the size of the curve (ssh-ecdsa.c sshkey_ec_nid_to_hash_alg).
_CURVES: Final[dict[str, tuple[str, ec.EllipticCurve, hashes.HashAlgorithm]]] = {
    "ecdsa-sha2-nistp256": ("nistp256", ec.SECP256R1(), hashes.SHA256()),
    "ecdsa-sha2-nistp384": ("nistp384", ec.SECP384R1(), hashes.SHA384()),
    "ecdsa-sha2-nistp521": ("nistp521", ec.SECP521R1(), hashes.SHA512()),
    _SK_ECDSA: ("nistp256", ec.SECP256R1(), hashes.SHA256()),
}
_RSA_SIGNATURES: Final[dict[str, hashes.HashAlgorithm]] = {
    "rsa-sha2-256": hashes.SHA256(),
    "rsa-sha2-512": hashes.SHA512(),
}

# The y coordinates of the eight Ed25519 points of small order, with the two that also have a second encoding. Anybody
# can sign for such a key (cofactorless verification accepts R = identity, S = 0 for one message in eight or better);
# sshd does not look.
_P25519: Final = 2**255 - 19
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _P25519 - 1,
        _P25519,
        _P25519 + 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)

KEY_TYPES: Final = frozenset({_ED25519, _RSA, _SK_ED25519, *_CURVES})

_Primitive = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A plain public key: its wire blob, type name, and size in bits; ``application`` is a FIDO key's (``ssh:``)."""

    blob: bytes
    type: str
    bits: int
    primitive: _Primitive
    application: str | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature taken apart. ``value`` is what the primitive checks; flags and counter are a FIDO key's."""

    algorithm: str
    value: bytes
    flags: int = 0
    counter: int = 0


def parse_public_key(blob: bytes) -> PublicKey:
    """Read a plain public key; a certificate, an unknown type or anything out of place is a :class:`FormatError`."""
    reader = Reader(blob)
    key = read_key_fields(reader, reader.text("key type"))
    reader.end("key")
    return key


def read_public_key(text: bytes) -> PublicKey:
    """Read a one-line public key, ``type base64 [comment]`` or bare base64; raises :class:`FormatError`."""
    key_type, blob = read_key_line(text, KEY_TEXT_LIMIT, "public key")
    key = parse_public_key(blob)
    if key_type not in (None, key.type):
        raise FormatError("key type", f"the line says {key_type!a}, the key {key.type!a}")
    return key


def read_key_fields(reader: Reader, key_type: str) -> PublicKey:
    """Read the fields that follow a plain key type, in a key as in a certificate; raises :class:`FormatError`."""
    if key_type not in KEY_TYPES:
        raise FormatError("key type", f"{key_type[:64]!a} is not supported")
    if key_type == _RSA:
        return _read_rsa(reader)
    curve = _CURVES.get(key_type)
    primitive: _Primitive
    if curve is None:
        raw = reader.string("public key")
        if len(raw) != 32:
            raise FormatError("public key", "an Ed25519 key has 32 bytes")
        if is_small_order(raw):
            raise FormatError("public key", "anybody can sign for this key (a point of small order)")
        primitive, bits, fields = ed25519.Ed25519PublicKey.from_public_bytes(raw), 256, encode_string(raw)
    else:
        primitive, fields = _read_point(reader, *curve[:2])
        bits = curve[1].key_size
    application = None
    if key_type in (_SK_ED25519, _SK_ECDSA):
        application = reader.text("FIDO application")
        fields += encode_string(application.encode())
    return PublicKey(encode_string(key_type.encode()) + fields, key_type, bits, primitive, application)


def is_small_order(raw: bytes) -> bool:
    """Whether a raw Ed25519 public key is a point of small order, for which anybody can sign."""
    return int.from_bytes(raw, "little") & (2**255 - 1) in _SMALL_ORDER


def _read_point(reader: Reader, name: str, curve: ec.EllipticCurve) -> tuple[ec.EllipticCurvePublicKey, bytes]:
    if reader.string("curve") != name.encode():
        raise FormatError("curve", f"a key of this type is on {name}")
    point = reader.string("public key")
    # sshbuf-getput-crypto.c get_ec: uncompressed points only, which also keeps out the point at infinity.
    if len(point) != 1 + 2 * ((curve.key_size + 7) // 8) or point[0] != 4:
        raise FormatError("public key", "not an uncompressed point of its curve")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise FormatError("public key", "the point is not on its curve") from error
    return key, encode_string(name.encode()) + encode_string(point)


def _read_rsa(reader: Reader) -> PublicKey:
    start = reader.position
    exponent = reader.mpint("RSA exponent", RSA_LARGEST // 8)
    modulus = reader.mpint("RSA modulus", RSA_LARGEST // 8)
    bits = modulus.bit_length()
    if bits < RSA_SMALLEST:
        raise FormatError("RSA modulus", f"{bits} bits are too few")
    if modulus % 2 == 0:
        raise FormatError("RSA modulus", "is even")
    # With exponent 1 everything is its own signature. OpenSSL refuses to verify with more than 64 bits (large moduli).
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > 64:
        raise FormatError("RSA exponent", "must be odd, at least 3 and at most 64 bits long")
    try:
        primitive = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise FormatError("RSA modulus", "the key cannot be used") from error
    return PublicKey(encode_string(_RSA.encode()) + reader.since(start), _RSA, bits, primitive)


def parse_signature(key: PublicKey, blob: bytes) -> Signature:
    """Take a signature by ``key`` apart; an algorithm that does not fit the key is a :class:`FormatError`."""
    reader = Reader(blob)
    algorithm = reader.text("signature algorithm")
    fitting = _RSA_SIGNATURES if key.type == _RSA else (key.type,)
    if algorithm not in fitting:
        raise FormatError("signature algorithm", f"{algorithm[:64]!a} is not accepted from a key of type {key.type}")
    value = reader.string("signature")
    flags = counter = 0
    if key.application is not None:
        flags, counter = reader.byte("FIDO flags"), reader.uint32("FIDO counter")
    reader.end("signature")
    return Signature(algorithm, _primitive_signature(key, value), flags, counter)


def _primitive_signature(key: PublicKey, value: bytes) -> bytes:
    if isinstance(key.primitive, rsa.RSAPublicKey):
        size = (key.bits + 7) // 8
        if not 0 < len(value) <= size:
            raise FormatError("signature", "does not have the size of its key")
        # ssh-rsa.c ssh_rsa_verify: some signers leave leading zeros out.
        return value.rjust(size, b"\0")
    if isinstance(key.primitive, ed25519.Ed25519PublicKey):
        if len(value) != 64:
            raise FormatError("signature", "an Ed25519 signature has 64 bytes")
        return value
    numbers = Reader(value)
    largest = (key.bits + 7) // 8
    r, s = numbers.mpint("signature r", largest), numbers.mpint("signature s", largest)
    numbers.end("signature")
    return encode_dss_signature(r, s)


def verify_signature(key: PublicKey, signature: Signature, data: bytes) -> bool:
    """Whether ``key`` made ``signature`` over ``data``.

    A FIDO key signs hash(application), flags, counter, hash(data) (PROTOCOL.u2f). Like sshd, this asks a FIDO CA for
    neither touch nor PIN: sshkey_verify gives such details to nobody when it checks a certificate.
    """
    if key.application is not None:
        data = (
            hashlib.sha256(key.application.encode()).digest()
            + bytes([signature.flags])
            + signature.counter.to_bytes(4, "big")
            + hashlib.sha256(data).digest()
        )
    try:
        if isinstance(key.primitive, rsa.RSAPublicKey):
            key.primitive.verify(signature.value, data, padding.PKCS1v15(), _RSA_SIGNATURES[signature.algorithm])
        elif isinstance(key.primitive, ed25519.Ed25519PublicKey):
            key.primitive.verify(signature.value, data)
        else:
            key.primitive.verify(signature.value, data, ec.ECDSA(_CURVES[key.type][2]))
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(key_blob: bytes) -> str:
    """``SHA256:`` and unpadded base64, as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key_blob).digest()).decode().rstrip("=")
