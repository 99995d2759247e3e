"""Certificates made by hand, so that any part of them can be wrong, and signed so that only that part is."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEYGEN = shutil.which("ssh-keygen")


def string(value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(4, "big") + raw


def mpint(value: int) -> bytes:
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big") if value else b"")


class Signer(Protocol):
    """A private key that can be a certificate authority."""

    type: str

    @property
    def fields(self) -> bytes: ...

    def sign(self, data: bytes) -> bytes: ...


def blob(signer: Signer) -> bytes:
    return string(signer.type) + signer.fields


@dataclass
class Ed25519:
    """The usual key."""

    type: str = "ssh-ed25519"
    key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    @property
    def fields(self) -> bytes:
        return string(self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, data: bytes) -> bytes:
        return string(self.type) + string(self.key.sign(data))


@dataclass
class Rsa:
    """A key that signs with the algorithm asked for, SHA-1 (``ssh-rsa``) included."""

    bits: int = 2048
    algorithm: str = "rsa-sha2-512"
    type: str = "ssh-rsa"

    def __post_init__(self) -> None:
        self.key = rsa.generate_private_key(65537, self.bits)

    @property
    def fields(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        return mpint(numbers.e) + mpint(numbers.n)

    def sign(self, data: bytes) -> bytes:
        digests: dict[str, hashes.HashAlgorithm] = {
            "rsa-sha2-256": hashes.SHA256(),
            "rsa-sha2-512": hashes.SHA512(),
            "ssh-rsa": hashes.SHA1(),
        }
        return string(self.algorithm) + string(self.key.sign(data, padding.PKCS1v15(), digests[self.algorithm]))


_CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "nistp256": (ec.SECP256R1(), hashes.SHA256()),
    "nistp384": (ec.SECP384R1(), hashes.SHA384()),
    "nistp521": (ec.SECP521R1(), hashes.SHA512()),
}


@dataclass
class Ecdsa:
    """A key on one of the three curves."""

    curve: str = "nistp256"

    def __post_init__(self) -> None:
        self.type = f"ecdsa-sha2-{self.curve}"
        self.key = ec.generate_private_key(_CURVES[self.curve][0])

    @property
    def point(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def fields(self) -> bytes:
        return string(self.curve) + string(self.point)

    def sign(self, data: bytes) -> bytes:
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(_CURVES[self.curve][1])))
        return string(self.type) + string(mpint(r) + mpint(s))


def _fido(application: str, flags: int, counter: int, data: bytes) -> bytes:
    digest = hashlib.sha256(application.encode()).digest()
    return digest + bytes([flags]) + counter.to_bytes(4, "big") + hashlib.sha256(data).digest()


@dataclass
class FidoEd25519(Ed25519):
    """A FIDO key in software: signs what a hardware key would (PROTOCOL.u2f)."""

    type: str = "sk-ssh-ed25519@openssh.com"
    application: str = "ssh:"
    flags: int = 1
    counter: int = 7

    @property
    def fields(self) -> bytes:
        return super().fields + string(self.application)

    def sign(self, data: bytes) -> bytes:
        made = self.key.sign(_fido(self.application, self.flags, self.counter, data))
        return string(self.type) + string(made) + bytes([self.flags]) + self.counter.to_bytes(4, "big")


@dataclass
class FidoEcdsa(Ecdsa):
    """As :class:`FidoEd25519`, on nistp256."""

    application: str = "ssh:"
    flags: int = 1
    counter: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        self.type = "sk-ecdsa-sha2-nistp256@openssh.com"

    @property
    def fields(self) -> bytes:
        return super().fields + string(self.application)

    def sign(self, data: bytes) -> bytes:
        made = self.key.sign(_fido(self.application, self.flags, self.counter, data), ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(made)
        tail = bytes([self.flags]) + self.counter.to_bytes(4, "big")
        return string(self.type) + string(mpint(r) + mpint(s)) + tail


def options(*pairs: tuple[str | bytes, bytes]) -> bytes:
    return b"".join(string(name) + string(data) for name, data in pairs)


USUAL = options(("permit-port-forwarding", b""), ("permit-pty", b""))
CA = Ed25519()
KEY = Ed25519()


@dataclass
class Forged:
    """A certificate part by part; bytes fields are the content of the string of that name."""

    key: Signer = field(default_factory=lambda: KEY)
    ca: Signer = field(default_factory=lambda: CA)
    key_type: str | None = None
    nonce: bytes = b"n" * 32
    key_fields: bytes | None = None
    serial: int = 1
    type: int = 1
    key_id: bytes = b"id"
    principals: bytes = string("alice@x.io")
    valid_after: int = 1000
    valid_before: int = 2000
    critical: bytes = b""
    extensions: bytes = USUAL
    reserved: bytes = b""
    ca_blob: bytes | None = None
    signature: bytes | None = None
    tail: bytes = b""

    @property
    def cert_type(self) -> str:
        return self.key_type or self.key.type.removesuffix("@openssh.com") + "-cert-v01@openssh.com"

    @property
    def signed(self) -> bytes:
        return b"".join(
            (
                string(self.cert_type),
                string(self.nonce),
                self.key.fields if self.key_fields is None else self.key_fields,
                self.serial.to_bytes(8, "big"),
                self.type.to_bytes(4, "big"),
                string(self.key_id),
                string(self.principals),
                self.valid_after.to_bytes(8, "big"),
                self.valid_before.to_bytes(8, "big"),
                string(self.critical),
                string(self.extensions),
                string(self.reserved),
                string(blob(self.ca) if self.ca_blob is None else self.ca_blob),
            )
        )

    @property
    def blob(self) -> bytes:
        signed = self.signed
        return signed + string(self.ca.sign(signed) if self.signature is None else self.signature) + self.tail


def keygen(*arguments: str | Path, cwd: Path) -> str:
    """Run ssh-keygen; its output. Times in UTC."""
    assert KEYGEN
    done = subprocess.run(
        [KEYGEN, *map(str, arguments)], cwd=cwd, env={"TZ": "UTC"}, check=True, capture_output=True, text=True
    )
    return done.stdout
