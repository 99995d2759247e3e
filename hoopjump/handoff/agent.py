"""The agent protocol (RFC 9987, OpenSSH's PROTOCOL.agent) for one handoff certificate; pure, without sockets.

It shows one certificate and makes one signature: over the authentication request (RFC 4252 section 7) of that
certificate for its own principal. When ssh tells to which host and session the connection is bound
(session-bind@openssh.com, from OpenSSH 8.9 on), the host key must be one of the gateway's and the signature is made
for that session only. Everything else is answered with failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hoopjump.agent import (
    EXTENSION,
    FAILURE,
    IDENTITIES_ANSWER,
    REQUEST_IDENTITIES,
    SIGN_REQUEST,
    SIGN_RESPONSE,
    SUCCESS,
)
from hoopjump.decision.keys import parse_public_key, parse_signature, verify_signature
from hoopjump.decision.wire import FormatError, Reader, encode_string
from hoopjump.handoff.delegation import Handoff

MESSAGE_LIMIT: Final = 64 * 1024

_USERAUTH_REQUEST: Final = 50
_BIND: Final = b"session-bind@openssh.com"
_PLAIN: Final = b"publickey"
# OpenSSH PROTOCOL section 3.1.3: the same request with the server's host key at its end.
_HOSTBOUND: Final = b"publickey-hostbound-v00@openssh.com"


@dataclass(frozen=True, slots=True)
class Answer:
    """A message to send back. ``refused`` says for the log why it is a failure; ``signed`` marks the signature."""

    message: bytes
    refused: str | None = None
    signed: bool = False


class _RefusedError(Exception):
    """Why a request is not granted."""


class Agent:
    """The key of one handoff. ``host_keys`` are the blobs of the gateway's pinned host keys.

    As long as nothing was ``signed``, nobody has reached the gateway with it.
    """

    def __init__(self, handoff: Handoff, host_keys: frozenset[bytes]) -> None:
        self.certificate: Final = handoff.certificate
        self.principal: Final = handoff.principal
        self.host_keys: Final = host_keys
        self.signed = False
        self._handoff: Handoff | None = handoff

    @property
    def spent(self) -> bool:
        """Whether the key is gone: it has signed, or was dropped."""
        return self._handoff is None

    def drop(self) -> None:
        """Forget the key."""
        self._handoff = None

    def sign_once(self, data: bytes) -> bytes:
        """The signature blob over ``data``; the key is forgotten. Raises :class:`RuntimeError` when it is gone."""
        if self._handoff is None:
            raise RuntimeError("the handoff key has been used")
        key, self._handoff = self._handoff.key, None
        self.signed = True
        return encode_string(b"ssh-ed25519") + encode_string(key.sign(data))


class Conversation:
    """One connection to an :class:`Agent`."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._session: bytes | None = None
        self._barred = False

    def answer(self, message: bytes) -> Answer:
        """The answer to one message (without its length); never raises for anything a peer can send."""
        try:
            reader = Reader(message)
            number = reader.byte("message type")
            if number == REQUEST_IDENTITIES:
                reader.end("message")
                return Answer(self._identities())
            if number == SIGN_REQUEST:
                signature = self._sign(reader)
                return Answer(bytes([SIGN_RESPONSE]) + encode_string(signature), signed=True)
            if number == EXTENSION and reader.string("extension") == _BIND:
                self._bind(reader)
                return Answer(bytes([SUCCESS]))
        except (_RefusedError, FormatError) as error:
            return Answer(bytes([FAILURE]), refused=str(error))
        return Answer(bytes([FAILURE]))

    def _identities(self) -> bytes:
        if self._agent.spent:
            return bytes([IDENTITIES_ANSWER]) + (0).to_bytes(4, "big")
        entry = encode_string(self._agent.certificate.blob) + encode_string(b"hoopjump handoff")
        return bytes([IDENTITIES_ANSWER]) + (1).to_bytes(4, "big") + entry

    def _bind(self, reader: Reader) -> None:
        # Until everything has been checked nothing may be signed here: ssh goes on after a failed bind.
        first, self._barred = not self._barred and self._session is None, True
        key_blob = reader.string("host key")
        session = reader.string("session identifier")
        signature = reader.string("signature")
        forwarding = reader.byte("forwarding") != 0
        reader.end("session-bind")
        if not first:
            raise _RefusedError("the connection was bound before")
        if forwarding:
            raise _RefusedError("this agent is not forwarded")
        if key_blob not in self._agent.host_keys:
            raise _RefusedError("the host key is not the gateway's")
        key = parse_public_key(key_blob)
        if not session or not verify_signature(key, parse_signature(key, signature), session):
            raise _RefusedError("the host has not signed this session identifier")
        self._session, self._barred = session, False

    def _sign(self, reader: Reader) -> bytes:
        blob, data = reader.string("key"), reader.string("data")
        reader.uint32("flags")
        reader.end("sign request")
        if self._barred:
            raise _RefusedError("the connection is not bound to the gateway")
        if blob != self._agent.certificate.blob:
            raise _RefusedError("another key is asked for")
        if self._agent.spent:
            raise _RefusedError("the key has been used")
        self._check_request(data)
        return self._agent.sign_once(data)

    def _check_request(self, data: bytes) -> None:
        reader = Reader(data)
        session = reader.string("session identifier")
        if not session or (self._session is not None and session != self._session):
            raise _RefusedError("the request belongs to another session")
        if reader.byte("message type") != _USERAUTH_REQUEST:
            raise _RefusedError("the data are no authentication request")
        if reader.string("user name") != self._agent.principal.encode():
            raise _RefusedError("the request is for another user name")
        if reader.string("service") != b"ssh-connection":
            raise _RefusedError("the request is for another service")
        method = reader.string("method")
        if method not in (_PLAIN, _HOSTBOUND) or reader.byte("signature flag") == 0:
            raise _RefusedError("the request is for another method")
        if reader.string("algorithm") != self._agent.certificate.key_type.encode():
            raise _RefusedError("the request is for another algorithm")
        if reader.string("key") != self._agent.certificate.blob:
            raise _RefusedError("the request is for another key")
        if method == _HOSTBOUND and reader.string("host key") not in self._agent.host_keys:
            raise _RefusedError("the host key is not the gateway's")
        reader.end("authentication request")
