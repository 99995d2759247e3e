"""The private key of a certification authority: made, and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)

from hoopjump.cli.files import read_bounded
from hoopjump.errors import HoopjumpError
from hoopjump.handoff.issue import IssueError, PrivateKey, PrivateKeySigner

KEY_LIMIT: Final = 64 * 1024
KINDS: Final = ("ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa-3072", "rsa-4096")


def generate(kind: str) -> PrivateKey:
    """A new key of one of :data:`KINDS`."""
    family, _, size = kind.partition("-")
    if family == "ecdsa":
        curves = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "521": ec.SECP521R1()}
        return ec.generate_private_key(curves[size])
    if family == "rsa":
        return rsa.generate_private_key(65537, int(size))
    return ed25519.Ed25519PrivateKey.generate()


def serialize(key: PrivateKey, passphrase: str) -> bytes:
    """OpenSSH's private key format; an empty passphrase leaves it open."""
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption)


def read(path: Path) -> PrivateKeySigner:
    """The authority whose private key is in a file; asks for the passphrase when it has one.

    Like ssh-keygen it refuses a key that others may read. Raises :class:`HoopjumpError`.
    """
    data = read_bounded(str(path), KEY_LIMIT)
    if data.startswith((b"ssh-", b"ecdsa-", b"sk-")):
        raise HoopjumpError(f"{path}: this is a public key", "give the file of the private one")
    if path.stat().st_mode & 0o077:
        raise HoopjumpError(f"{path}: others may read this private key", f"chmod 0600 {path}")
    if _is_locked(data):
        passphrase = click.prompt(f"Passphrase of {path}", hide_input=True, err=True).encode()
        try:
            return PrivateKeySigner.from_openssh(data, passphrase)
        except IssueError as error:
            raise HoopjumpError(f"{path}: the passphrase is wrong") from error
    try:
        return PrivateKeySigner.from_openssh(data)
    except IssueError as error:
        raise HoopjumpError(f"{path}: {error.message}") from error


def _is_locked(data: bytes) -> bool:
    try:
        load_ssh_private_key(data, None)
    except TypeError:
        # cryptography tells a missing passphrase by this class alone.
        return True
    except Exception:
        return False
    return False
