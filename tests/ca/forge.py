"""Detached signatures made by hand, for keys that ssh-keygen would want hardware for."""

from __future__ import annotations

import base64
import hashlib

from tests.ca.yard import NAMESPACE
from tests.decision.forge import Signer, blob, string


def detached(key: Signer, message: bytes, **parts: bytes) -> bytes:
    """The wire form (PROTOCOL.sshsig); ``parts`` replace what would be right, by their names there."""
    namespace = NAMESPACE.encode()
    signed = b"SSHSIG" + b"".join(map(string, (namespace, b"", b"sha512", hashlib.sha512(message).digest())))
    fields = {
        "publickey": blob(key),
        "namespace": namespace,
        "reserved": b"",
        "hash_algorithm": b"sha512",
        "signature": key.sign(signed),
    }
    head = parts.pop("head", b"SSHSIG\0\0\0\1")
    tail = parts.pop("tail", b"")
    return head + b"".join(map(string, {**fields, **parts}.values())) + tail


def armor(data: bytes) -> str:
    """The text form."""
    text = base64.b64encode(data).decode()
    lines = "\n".join(text[start : start + 70] for start in range(0, len(text), 70))
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n"


def armored(key: Signer, message: bytes) -> str:
    """A right signature by ``key``."""
    return armor(detached(key, message))
