"""The keys of the table, and certificates that are good now but for what is changed."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass

from tests.decision.forge import CA, Ecdsa, Ed25519, FidoEcdsa, FidoEd25519, Forged, Rsa, Signer, mpint

NOW = int(time.time())
PRINCIPAL = "alice@x.io"
CLIENT = "127.0.0.1"

RSA = Rsa(2048)
RSA_NUMBERS = RSA.key.public_key().public_numbers()
WEAK = Rsa(1024)
P256 = Ecdsa("nistp256")
P384 = Ecdsa("nistp384")
SK_ECDSA = FidoEcdsa()
SK_ED25519 = FidoEd25519()
STRANGER = Ed25519()

TRUSTED: tuple[Signer, ...] = (CA, RSA, WEAK, P256, P384, SK_ECDSA, SK_ED25519)
"""Whose certificates are taken."""


@dataclass
class Fresh(Forged):
    """A certificate that is valid now."""

    valid_after: int = NOW - 60
    valid_before: int = NOW + 3600


Row = Forged | bytes
"""A certificate still in parts, or its bytes."""


def blob_of(row: Row) -> bytes:
    """The wire encoding."""
    return row if isinstance(row, bytes) else row.blob


def rsa_fields(e: int, n: int) -> bytes:
    """The fields of an RSA key."""
    return mpint(e) + mpint(n)


USUAL_TYPE = b"ssh-ed25519-cert-v01@openssh.com"


def kind_of(raw: bytes) -> bytes:
    """The type that a blob names, as far as that can stand in a line; else the usual one."""
    length = int.from_bytes(raw[:4], "big")
    kind = raw[4 : 4 + length]
    return (
        kind if 0 < length < 100 and kind.isascii() and kind.decode().isprintable() and b" " not in kind else USUAL_TYPE
    )


def line(raw: bytes) -> bytes:
    """``type base64`` and a newline."""
    return kind_of(raw) + b" " + base64.b64encode(raw) + b"\n"
