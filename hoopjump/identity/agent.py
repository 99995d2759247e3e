"""The running ssh-agent: what it holds, giving it a key and taking one back.

Loads nothing but the standard library: ``hoopjump login --if-needed`` runs before every ssh.
"""

from __future__ import annotations

import base64
import os
from typing import Final

from hoopjump.agent import ADD_ID_CONSTRAINED, CONSTRAIN_LIFETIME, REMOVE_IDENTITY, SUCCESS, AgentError, ask, identities
from hoopjump.decision.wire import encode_string
from hoopjump.identity.errors import IdentityError

_SECONDS: Final = 5.0
_LONGEST: Final = 2**32 - 1
_OTHERWISE: Final = 'or set keep = "file"'


def holds(line: bytes) -> bool:
    """Whether the agent holds the key or certificate of a line ``type base64 …``; False without an agent."""
    try:
        return _blob(line) in identities(_place(), _SECONDS)
    except (AgentError, IdentityError, ValueError, IndexError):
        return False


def check() -> None:
    """Raises :class:`IdentityError` when there is no agent that answers."""
    try:
        identities(_place(), _SECONDS)
    except AgentError as error:
        raise IdentityError("agent-unusable", f"the ssh-agent does not answer: {error}", _OTHERWISE) from error


def add_ed25519(seed: bytes, public: bytes, seconds: int, comment: str, certificate: bytes | None = None) -> None:
    """Give the agent an Ed25519 key for some seconds; with a ``certificate`` (its blob) for that.

    ``seed`` and ``public`` have 32 bytes. Raises :class:`IdentityError`.
    """
    if certificate is None:
        head = encode_string(b"ssh-ed25519")
    else:
        head = encode_string(b"ssh-ed25519-cert-v01@openssh.com") + encode_string(certificate)
    # RFC 9987 section 3.2.3; a certificate has the public key before the private one as well.
    key = encode_string(public) + encode_string(seed + public) + encode_string(comment.encode())
    limit = bytes([CONSTRAIN_LIFETIME]) + max(1, min(seconds, _LONGEST)).to_bytes(4, "big")
    if not _succeeds(bytes([ADD_ID_CONSTRAINED]) + head + key + limit):
        raise IdentityError("agent-unusable", "the ssh-agent does not take the key", 'set keep = "file"')


def remove(line: bytes) -> bool:
    """Take the key or certificate of a line ``type base64 …`` out of the agent; False when it has none such."""
    try:
        return _succeeds(bytes([REMOVE_IDENTITY]) + encode_string(_blob(line)))
    except (IdentityError, ValueError, IndexError):
        return False


def _blob(line: bytes) -> bytes:
    return base64.b64decode(line.split()[1], validate=True)


def _place() -> str:
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        raise IdentityError(
            "agent-unusable", "there is no ssh-agent (SSH_AUTH_SOCK is not set)", 'start one, or set keep = "file"'
        )
    return path


def _succeeds(message: bytes) -> bool:
    try:
        return ask(_place(), message, _SECONDS)[0] == SUCCESS
    except AgentError as error:
        raise IdentityError("agent-unusable", f"the ssh-agent does not answer: {error}", _OTHERWISE) from error
