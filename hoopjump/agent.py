"""The messages of ssh-agents, and asking one (RFC 9987, OpenSSH's PROTOCOL.agent).

Loads nothing but the standard library: ``hoopjump login --if-needed`` runs before every ssh.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Final

from hoopjump.decision.wire import FormatError, Reader, encode_string
from hoopjump.errors import HoopjumpError

FAILURE: Final = 5
SUCCESS: Final = 6
REQUEST_IDENTITIES: Final = 11
IDENTITIES_ANSWER: Final = 12
SIGN_REQUEST: Final = 13
SIGN_RESPONSE: Final = 14
REMOVE_IDENTITY: Final = 18
ADD_ID_CONSTRAINED: Final = 25
EXTENSION: Final = 27

CONSTRAIN_LIFETIME: Final = 1
RSA_SHA2_512: Final = 4

# OpenSSH's AGENT_MAX_LEN.
MESSAGE_LIMIT: Final = 256 * 1024


class AgentError(HoopjumpError):
    """The agent cannot be reached, does not have the key, or gave something else than was asked for."""


def ask(path: str | os.PathLike[str], message: bytes, seconds: float) -> tuple[int, Reader]:
    """The number of the answer to one message, and what follows it; raises :class:`AgentError`.

    Each is a connection of its own, so an agent may be restarted at any time. ``seconds`` are for all of it.
    """
    deadline = time.monotonic() + seconds
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(os.fspath(path))
            connection.sendall(encode_string(message))
            size = int.from_bytes(_read(connection, 4, deadline), "big")
            if not 0 < size <= MESSAGE_LIMIT:
                raise AgentError(f"{path}: the agent's answer has {size} bytes")
            answer = _read(connection, size, deadline)
            return answer[0], Reader(answer[1:])
    except EOFError as error:
        raise AgentError(f"{path}: the agent closed the connection") from error
    except OSError as error:
        raise AgentError(f"{path}: {error.strerror or error}", "is the agent running?") from error


def identities(path: str | os.PathLike[str], seconds: float) -> list[bytes]:
    """The blobs of the keys and certificates that it holds; raises :class:`AgentError`."""
    number, answer = ask(path, bytes([REQUEST_IDENTITIES]), seconds)
    if number != IDENTITIES_ANSWER:
        raise AgentError(f"{path}: the agent does not list its keys (message {number})")
    blobs = []
    try:
        for _ in range(answer.uint32("number of keys")):
            blobs.append(answer.string("key"))
            answer.string("comment")
    except FormatError as error:
        raise AgentError(f"{path}: the agent's list of keys cannot be read: {error}") from error
    return blobs


def _read(connection: socket.socket, size: int, deadline: float) -> bytes:
    data = b""
    while len(data) < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left)
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
