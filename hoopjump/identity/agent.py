"""The running ssh-agent: what it holds, giving it a key and taking one back (RFC 9987, OpenSSH's PROTOCOL.agent).

Loads nothing but the standard library: ``hoopjump login --if-needed`` runs before every ssh.
"""

from __future__ import annotations

import base64
import os
import socket
from typing import Final

from hoopjump.identity.errors import IdentityError

SUCCESS: Final = 6
REQUEST_IDENTITIES: Final = 11
IDENTITIES_ANSWER: Final = 12
REMOVE_IDENTITY: Final = 18
ADD_ID_CONSTRAINED: Final = 25
CONSTRAIN_LIFETIME: Final = 1

ANSWER_LIMIT: Final = 256 * 1024
_SECONDS: Final = 5.0
_LONGEST: Final = 2**32 - 1


def holds(line: bytes) -> bool:
    """Whether the agent holds the key or certificate of a line ``type base64 …``; False without an agent."""
    try:
        return _blob(line) in _identities()
    except (IdentityError, ValueError, IndexError):
        return False


def check() -> None:
    """Raises :class:`IdentityError` when there is no agent that answers."""
    _identities()


def add_ed25519(seed: bytes, public: bytes, seconds: int, comment: str, certificate: bytes | None = None) -> None:
    """Give the agent an Ed25519 key for some seconds; with a ``certificate`` (its blob) for that.

    ``seed`` and ``public`` have 32 bytes. Raises :class:`IdentityError`.
    """
    if certificate is None:
        head = _string(b"ssh-ed25519")
    else:
        head = _string(b"ssh-ed25519-cert-v01@openssh.com") + _string(certificate)
    # draft-miller-ssh-agent section 3.2.3; a certificate has the public key before the private one as well.
    key = _string(public) + _string(seed + public) + _string(comment.encode())
    limit = bytes([CONSTRAIN_LIFETIME]) + max(1, min(seconds, _LONGEST)).to_bytes(4, "big")
    if _ask(bytes([ADD_ID_CONSTRAINED]) + head + key + limit)[:1] != bytes([SUCCESS]):
        raise IdentityError("agent-unusable", "the ssh-agent does not take the key", 'set keep = "file"')


def remove(line: bytes) -> bool:
    """Take the key or certificate of a line ``type base64 …`` out of the agent; False when it has none such."""
    try:
        return _ask(bytes([REMOVE_IDENTITY]) + _string(_blob(line)))[:1] == bytes([SUCCESS])
    except (IdentityError, ValueError, IndexError):
        return False


def _blob(line: bytes) -> bytes:
    return base64.b64decode(line.split()[1], validate=True)


def _identities() -> list[bytes]:
    answer = _ask(bytes([REQUEST_IDENTITIES]))
    if answer[:1] != bytes([IDENTITIES_ANSWER]):
        raise IdentityError("agent-unusable", "the ssh-agent does not say what it holds")
    count, rest, blobs = int.from_bytes(answer[1:5], "big"), answer[5:], []
    for _ in range(count):
        blob, rest = _take(rest)
        _, rest = _take(rest)
        blobs.append(blob)
    return blobs


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _take(data: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 + size:
        raise IdentityError("agent-unusable", "the ssh-agent's answer is cut off")
    return data[4 : 4 + size], data[4 + size :]


def _ask(message: bytes) -> bytes:
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        raise IdentityError(
            "agent-unusable", "there is no ssh-agent (SSH_AUTH_SOCK is not set)", 'start one, or set keep = "file"'
        )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(path)
            connection.sendall(_string(message))
            size = int.from_bytes(_receive(connection, 4), "big")
            if not 0 < size <= ANSWER_LIMIT:
                raise IdentityError("agent-unusable", "the ssh-agent's answer is none")
            return _receive(connection, size)
    except OSError as error:
        raise IdentityError(
            "agent-unusable", f"the ssh-agent does not answer: {error.strerror or error}", 'or set keep = "file"'
        ) from error


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise IdentityError("agent-unusable", "the ssh-agent closed the connection")
        data += part
    return data
