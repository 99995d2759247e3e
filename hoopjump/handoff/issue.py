"""Writes OpenSSH certificates (PROTOCOL.certkeys).

:func:`issue` writes exactly what it is told and judges nothing but whether it can be encoded: host certificates, empty
principal lists, options out of order and windows that end before they begin can all be written, since tests need them.
Whoever issues certificates for use checks them afterwards with :mod:`hoopjump.decision.certificate`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from hoopjump.decision.keys import KEY_TYPES, read_public_key
from hoopjump.decision.wire import FormatError, Reader, encode_string
from hoopjump.errors import HoopjumpError

USER: Final = 1
HOST: Final = 2
FOREVER: Final = 2**64 - 1

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Options = tuple[tuple[str, bytes], ...]


class IssueError(HoopjumpError):
    """A certificate that cannot be encoded, or a key that cannot sign one."""


class Signer(Protocol):
    """A certificate authority."""

    @property
    def public_key(self) -> bytes:
        """Blob of the authority's public key."""

    def sign(self, data: bytes) -> bytes:
        """The signature blob (algorithm name and signature, RFC 4253 section 6.6) over ``data``."""


class PrivateKeySigner:
    """Signs with a private key held in memory."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self._public_key = read_public_key(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)).blob

    @classmethod
    def from_openssh(cls, text: str | bytes, passphrase: bytes | None = None) -> Self:
        """From the text of an OpenSSH private key file; raises :class:`IssueError`."""
        data = text.encode() if isinstance(text, str) else text
        # A secret read without its last newline is still a key.
        data = data.rstrip() + b"\n"
        try:
            key = load_ssh_private_key(data, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise IssueError(f"the private key cannot be read: {error}") from error
        if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise IssueError("the private key is of a kind that cannot sign certificates")
        return cls(key)

    @property
    def public_key(self) -> bytes:
        """Blob of the public key."""
        return self._public_key

    def sign(self, data: bytes) -> bytes:
        """The signature blob over ``data``: RSA always as rsa-sha2-512 (RFC 8332), ECDSA as RFC 5656 section 3.1.2."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return encode_string(b"ssh-ed25519") + encode_string(self._key.sign(data))
        if isinstance(self._key, rsa.RSAPrivateKey):
            signature = self._key.sign(data, padding.PKCS1v15(), hashes.SHA512())
            return encode_string(b"rsa-sha2-512") + encode_string(signature)
        digests = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
        signature = self._key.sign(data, ec.ECDSA(digests[self._key.curve.key_size]))
        r, s = utils.decode_dss_signature(signature)
        return _text(Reader(self._public_key).text("key type")) + encode_string(_mpint(r) + _mpint(s))


@dataclass(frozen=True, slots=True)
class CertificateSpec:
    """Every field of a certificate. Times are Unix seconds; option data are raw (see :func:`options`)."""

    public_key: bytes
    key_id: str = ""
    principals: tuple[str, ...] = ()
    valid_after: int = 0
    valid_before: int = FOREVER
    serial: int = 0
    kind: int = USER
    critical_options: Options = ()
    extensions: Options = ()
    reserved: bytes = b""
    nonce: bytes | None = None


def options(values: Mapping[str, str]) -> Options:
    """Options in the order and form that certificates want: sorted by name, no data for an empty value."""
    ordered = sorted(values.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape"))
    return tuple((name, _text(value) if value else b"") for name, value in ordered)


def issue(spec: CertificateSpec, signer: Signer) -> bytes:
    """The signed certificate's blob; raises :class:`IssueError` when a field cannot be encoded."""
    try:
        kind = Reader(spec.public_key).text("key type")
        numbers = struct.pack(">QI", spec.serial, spec.kind)
        window = struct.pack(">QQ", spec.valid_after, spec.valid_before)
    except (struct.error, FormatError) as error:
        raise IssueError(f"the certificate cannot be written: {error}") from error
    if kind not in KEY_TYPES:
        raise IssueError("there are no certificates for keys of this type")
    body = b"".join(
        (
            _text(certificate_type(kind)),
            encode_string(os.urandom(32) if spec.nonce is None else spec.nonce),
            # The key's own fields, as they follow its type.
            spec.public_key[len(_text(kind)) :],
            numbers,
            _text(spec.key_id),
            encode_string(b"".join(_text(name) for name in spec.principals)),
            window,
            _packed(spec.critical_options),
            _packed(spec.extensions),
            encode_string(spec.reserved),
            encode_string(signer.public_key),
        )
    )
    return body + encode_string(signer.sign(body))


def certificate_type(key_type: str) -> str:
    """The certificate type of a plain key type; a FIDO type's own ``@openssh.com`` moves to the end (sshkey.c)."""
    return key_type.removesuffix("@openssh.com") + "-cert-v01@openssh.com"


def _packed(pairs: Options) -> bytes:
    return encode_string(b"".join(_text(name) + encode_string(data) for name, data in pairs))


def _text(value: str) -> bytes:
    return encode_string(value.encode("utf-8", "surrogateescape"))


def _mpint(value: int) -> bytes:
    return encode_string(value.to_bytes(value.bit_length() // 8 + 1, "big") if value else b"")
