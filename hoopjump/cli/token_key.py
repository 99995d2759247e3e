"""Keys that sign tokens: made, read, and used; for tests and small set-ups."""

from __future__ import annotations

import contextlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from hoopjump.cli.files import FileError, read_bounded
from hoopjump.decision.jose import encode_segment
from hoopjump.decision.jwk import RSA_SMALLEST, PublicPrimitive, public_members, thumbprint
from hoopjump.decision.token_policy import SECRET_SMALLEST, SharedSecret
from hoopjump.errors import InputError

KEY_LIMIT: Final = 64 * 1024
KINDS: Final = ("EdDSA", "ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "HS256")

PrivatePrimitive = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class Signer:
    """What signs with one algorithm; ``kid`` is the thumbprint of the key, None for a secret."""

    algorithm: str
    key: PrivatePrimitive | SharedSecret
    kid: str | None

    def sign(self, data: bytes) -> bytes:
        """The signature in the form of RFC 7518."""
        digest = _HASHES.get(self.algorithm[2:], hashes.SHA256())
        match self.key:
            case SharedSecret():
                return hmac.digest(self.key.value, data, "sha256")
            case ed25519.Ed25519PrivateKey():
                return self.key.sign(data)
            case ec.EllipticCurvePrivateKey():
                r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(digest)))
                size = (self.key.curve.key_size + 7) // 8
                return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if self.algorithm == "PS256":
            return self.key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return self.key.sign(data, padding.PKCS1v15(), digest)


def generate(algorithm: str) -> bytes:
    """The file of a new private key (PKCS#8, PEM), or of a new secret (a line of text) for HS256."""
    key: PrivatePrimitive
    match algorithm:
        case "HS256":
            return encode_segment(secrets.token_bytes(SECRET_SMALLEST)) + b"\n"
        case "EdDSA":
            key = ed25519.Ed25519PrivateKey.generate()
        case "ES256":
            key = ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            key = ec.generate_private_key(ec.SECP384R1())
        case _:
            key = rsa.generate_private_key(65537, 3072)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def fitting(key: PrivatePrimitive) -> tuple[str, ...]:
    """The algorithms that a key can sign with, the usual one first; none when its curve is unknown."""
    match key:
        case ed25519.Ed25519PrivateKey():
            return ("EdDSA",)
        case rsa.RSAPrivateKey():
            return ("RS256", "RS384", "RS512", "PS256")
        case ec.EllipticCurvePrivateKey():
            return {"secp256r1": ("ES256",), "secp384r1": ("ES384",)}.get(key.curve.name, ())


def read_signer(path: Path, algorithm: str | None) -> Signer:
    """The signer whose private key is in a PEM file; raises :class:`InputError`."""
    data = _read_private(path)
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path}: not an unencrypted private key in PEM", "hoopjump token keygen") from error
    if isinstance(key, rsa.RSAPrivateKey):
        _refuse_weak(key, str(path))
    possible = fitting(key) if isinstance(key, PrivatePrimitive) else ()
    if not isinstance(key, PrivatePrimitive) or not possible or algorithm not in (None, *possible):
        hint = (
            f"this one signs with {' or '.join(possible)}" if possible else "hoopjump token keygen makes one that can"
        )
        raise InputError(f"{path}: this key cannot sign with {algorithm or 'any supported algorithm'}", hint)
    return Signer(algorithm or possible[0], key, thumbprint(key.public_key()))


def _refuse_weak(key: rsa.RSAPrivateKey | rsa.RSAPublicKey, name: str) -> None:
    if key.key_size < RSA_SMALLEST:
        raise InputError(
            f"{name}: an RSA key of {key.key_size} bits is too weak; at least {RSA_SMALLEST} are needed",
            "hoopjump token keygen",
        )


def read_secret_file(path: Path, *, signs: bool) -> SharedSecret:
    """The secret in a file, without a final newline; raises :class:`InputError`.

    Only where it ``signs`` must the file be private: a verdict about a token is no worse for who else knows the secret.
    """
    data = _read_private(path) if signs else read_given(str(path), KEY_LIMIT)
    try:
        return SharedSecret(data.removesuffix(b"\n"))
    except ValueError as error:
        raise InputError(f"{path}: {error}", "hoopjump token keygen --algorithm HS256 makes one") from error


def read_given(name: str, limit: int) -> bytes:
    """The content of a file that was named, or of stdin for ``-``; raises :class:`InputError`."""
    try:
        return read_bounded(name, limit)
    except FileError as error:
        raise InputError(error.message, error.hint) from error


def _read_private(path: Path) -> bytes:
    data = read_given(str(path), KEY_LIMIT)
    if path.stat().st_mode & 0o077:
        raise InputError(f"{path}: others may read this", f"chmod 0600 {path}")
    return data


def public_jwk(data: bytes, name: str) -> dict[str, str]:
    """A JWK with its thumbprint as `kid`, from a private or public key in PEM; raises :class:`InputError`."""
    try:
        key = load_pem_private_key(data, None).public_key() if b"PRIVATE KEY" in data else load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{name}: not an unencrypted key in PEM") from error
    if isinstance(key, rsa.RSAPublicKey):
        _refuse_weak(key, name)
    # P-521 has thumbprints, but no algorithm here.
    if isinstance(key, PublicPrimitive) and not (isinstance(key, ec.EllipticCurvePublicKey) and key.key_size > 384):
        with contextlib.suppress(ValueError):
            return {**public_members(key), "kid": thumbprint(key), "use": "sig"}
    raise InputError(f"{name}: not an RSA, P-256, P-384 or Ed25519 key")
