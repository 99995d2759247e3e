"""Detached signatures of SSH keys (OpenSSH's PROTOCOL.sshsig), as `ssh-keygen -Y sign` writes them; read strictly.

Where OpenSSH's sshsig.c is lax we are not: nothing may stand before or after the armor, the reserved field must be
empty (ssh-keygen verifies as if it were), and the base64 has one form.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from hoopjump.decision.keys import PublicKey, Signature, parse_public_key, parse_signature, verify_signature
from hoopjump.decision.wire import FormatError, Reader, decode_base64, encode_string

ARMOR_LIMIT: Final = 16 * 1024

_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_BEGIN: Final = b"-----BEGIN SSH SIGNATURE-----\n"
_END: Final = b"-----END SSH SIGNATURE-----"
_LINES: Final = re.compile(rb"(?:[A-Za-z0-9+/=]{1,76}\n)+\Z")
_HASHES: Final = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}


@dataclass(frozen=True, slots=True)
class DetachedSignature:
    """A well-formed signature, not yet verified: by which key, and for which purpose (``namespace``)."""

    key: PublicKey
    namespace: str
    hash: str
    signature: Signature


def read_armored(text: bytes) -> DetachedSignature:
    """Read a signature between its BEGIN and END lines; raises :class:`FormatError`."""
    if len(text) > ARMOR_LIMIT:
        raise FormatError("signature", f"is longer than {ARMOR_LIMIT} bytes")
    text = text.removesuffix(b"\n")
    if not text.startswith(_BEGIN) or not text.endswith(_END):
        raise FormatError("signature", "does not stand between the lines of an SSH signature")
    lines = text[len(_BEGIN) : -len(_END)]
    if not _LINES.match(lines):
        raise FormatError("signature", "is not base64 in lines of 1 to 76 characters")
    return parse(decode_base64(lines.replace(b"\n", b""), "signature"))


def parse(blob: bytes) -> DetachedSignature:
    """Read a signature from its wire encoding; raises :class:`FormatError`."""
    if not blob.startswith(_MAGIC):
        raise FormatError("signature", "does not begin with SSHSIG")
    reader = Reader(blob[len(_MAGIC) :])
    version = reader.uint32("version")
    if version != _VERSION:
        raise FormatError("version", f"{version} is not supported")
    key = parse_public_key(reader.string("public key"))
    namespace = reader.text("namespace")
    if not namespace:
        raise FormatError("namespace", "is empty")
    if reader.string("reserved"):
        raise FormatError("reserved", "is not empty")
    digest = reader.text("hash algorithm")
    if digest not in _HASHES:
        raise FormatError("hash algorithm", f"{digest[:32]!a} is neither sha256 nor sha512")
    signature = parse_signature(key, reader.string("signature"))
    reader.end("signature")
    return DetachedSignature(key, namespace, digest, signature)


def signed_data(namespace: str, digest: str, message: bytes) -> bytes:
    """What the key signs for a message; ``digest`` is sha256 or sha512."""
    fields = (namespace.encode(), b"", digest.encode(), _HASHES[digest](message).digest())
    return _MAGIC + b"".join(map(encode_string, fields))


def verify(signature: DetachedSignature, message: bytes) -> bool:
    """Whether the key that the signature names made it over ``message``, for the namespace that it names."""
    data = signed_data(signature.namespace, signature.hash, message)
    return verify_signature(signature.key, signature.signature, data)
