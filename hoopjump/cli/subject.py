"""The public key that is to be certified: whether it may be."""

from __future__ import annotations

import base64
import warnings
from typing import Final

from sshpubkeys import SSHKey
from sshpubkeys.exceptions import InvalidKeyError

from hoopjump.cli import output
from hoopjump.cli.files import read_bounded
from hoopjump.decision.keys import KEY_TEXT_LIMIT, read_public_key
from hoopjump.decision.wire import FormatError, Reader, encode_string, read_key_line
from hoopjump.errors import HoopjumpError

RSA_SMALLEST: Final = 2048


class SubjectError(HoopjumpError):
    """A public key that is malformed, too weak, or no public key."""


def read_subject(name: str, *, weak: bool = False) -> tuple[bytes, str]:
    """The blob and the comment of the public key in a file (``-``: stdin); raises :class:`SubjectError`.

    With ``weak`` nothing is asked but that a type and a blob can be told apart, for tests.
    """
    data = read_bounded(name, KEY_TEXT_LIMIT)
    if data.startswith(b"-----BEGIN"):
        raise SubjectError(f"{name}: this is a private key, or not OpenSSH's format", "give the .pub file")
    try:
        line = data.decode("ascii").strip()
    except UnicodeDecodeError:
        raise SubjectError(f"{name}: not an OpenSSH public key") from None
    comment = " ".join(line.split()[2:])
    try:
        kind, blob = read_key_line(data, KEY_TEXT_LIMIT, "public key")
    except FormatError as error:
        raise SubjectError(f"{name}: {error}") from error
    if kind is not None and not blob.startswith(encode_string(kind.encode())):
        raise SubjectError(f"{name}: the line names another type than the key")
    if not weak:
        _check(name, line, data)
    return blob, comment


def key_line(blob: bytes, comment: str = "") -> str:
    """The line of a public key or certificate, without a newline; the blob is one that we made or have read."""
    kind = Reader(blob).text("key type")
    return f"{kind} {base64.b64encode(blob).decode()} {comment}".rstrip(" ")


def _check(name: str, line: str, data: bytes) -> None:
    kind = line.split(maxsplit=1)[0]
    if "-cert-v01@" in kind:
        raise SubjectError(f"{name}: this is a certificate already", "give the public key that it was made for")
    # sshpubkeys 3.3 takes an RSA key of 1024 bits and more, so the size is asked of it and judged here.
    key = SSHKey(line, strict=True, disallow_options=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            key.parse()
    except NotImplementedError:
        raise SubjectError(f"{name}: keys of type {kind} are not supported") from None
    except (InvalidKeyError, ValueError, IndexError) as error:
        text = str(error).rstrip(".")
        raise SubjectError(f"{name}: {output.in_lower_case(text)}") from error
    if kind == "ssh-dss":
        raise SubjectError(f"{name}: DSA keys are too weak", "make an Ed25519 key: ssh-keygen -t ed25519")
    if kind == "ssh-rsa" and (key.bits or 0) < RSA_SMALLEST:
        raise SubjectError(
            f"{name}: an RSA key of {key.bits} bits is too weak; at least {RSA_SMALLEST} are needed",
            "make an Ed25519 key: ssh-keygen -t ed25519",
        )
    # What the bastion reads, it reads with this parser; a key that it refuses is refused before it is certified.
    try:
        read_public_key(data)
    except FormatError as error:
        raise SubjectError(f"{name}: {error}") from error
