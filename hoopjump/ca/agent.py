"""A CA key that an ssh-agent holds: a hardware token, Vault's agent, or ssh-agent itself (draft-miller-ssh-agent).

Each signature is a connection of its own, so an agent may be restarted at any time.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Final

from hoopjump.decision.keys import PublicKey, parse_signature, verify_signature
from hoopjump.decision.wire import FormatError, Reader, encode_string
from hoopjump.errors import HoopjumpError

MESSAGE_LIMIT: Final = 256 * 1024

_FAILURE: Final = 5
_REQUEST_IDENTITIES: Final = 11
_IDENTITIES_ANSWER: Final = 12
_SIGN_REQUEST: Final = 13
_SIGN_RESPONSE: Final = 14
_RSA_SHA2_512: Final = 4


class AgentError(HoopjumpError):
    """The agent cannot be reached, does not have the key, or gave something else than was asked for."""


class AgentSigner:
    """Signs with the key ``key`` of the agent that listens at ``path``."""

    def __init__(self, path: Path, key: PublicKey, timeout: float) -> None:
        self._path = path
        self._key = key
        self._timeout = timeout

    @property
    def public_key(self) -> bytes:
        """Blob of the public key."""
        return self._key.blob

    def sign(self, data: bytes) -> bytes:
        """The signature blob over ``data``, verified; raises :class:`AgentError`."""
        flags = _RSA_SHA2_512 if self._key.type == "ssh-rsa" else 0
        request = encode_string(self._key.blob) + encode_string(data) + flags.to_bytes(4, "big")
        answer = self._ask(bytes([_SIGN_REQUEST]) + request, _SIGN_RESPONSE, "the agent refuses to sign")
        try:
            blob = answer.string("signature")
            answer.end("answer")
            right = verify_signature(self._key, parse_signature(self._key, blob), data)
        except FormatError as error:
            raise AgentError(f"{self._path}: the agent's signature cannot be read: {error}") from error
        if not right:
            raise AgentError(f"{self._path}: the agent signed something else, or with another key")
        return blob

    def check(self) -> None:
        """Whether the agent is there and holds the key; raises :class:`AgentError`."""
        answer = self._ask(bytes([_REQUEST_IDENTITIES]), _IDENTITIES_ANSWER, "the agent does not list its keys")
        try:
            held = []
            for _ in range(answer.uint32("number of keys")):
                held.append(answer.string("key"))
                answer.string("comment")
        except FormatError as error:
            raise AgentError(f"{self._path}: the agent's list of keys cannot be read: {error}") from error
        if self._key.blob not in held:
            raise AgentError(f"{self._path}: the agent does not hold the CA key", "ssh-add -l on its socket shows")

    def _ask(self, message: bytes, wanted: int, otherwise: str) -> Reader:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                reader = Reader(self._exchange(connection, encode_string(message)))
                number = reader.byte("message type")
        except OSError as error:
            raise AgentError(f"{self._path}: {error.strerror or error}", "is the agent running?") from error
        except FormatError as error:
            raise AgentError(f"{self._path}: the agent's answer is empty") from error
        if number != wanted:
            said = "" if number == _FAILURE else f" (message {number})"
            raise AgentError(f"{self._path}: {otherwise}{said}")
        return reader

    def _exchange(self, connection: socket.socket, request: bytes) -> bytes:
        deadline = time.monotonic() + self._timeout
        connection.settimeout(self._timeout)
        connection.connect(str(self._path))
        connection.sendall(request)
        size = int.from_bytes(self._read(connection, 4, deadline), "big")
        if size > MESSAGE_LIMIT:
            raise AgentError(f"{self._path}: the agent's answer has {size} bytes")
        return self._read(connection, size, deadline)

    def _read(self, connection: socket.socket, size: int, deadline: float) -> bytes:
        data = b""
        while len(data) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            connection.settimeout(left)
            part = connection.recv(size - len(data))
            if not part:
                raise AgentError(f"{self._path}: the agent closed the connection")
            data += part
        return data
