"""A CA key that an ssh-agent holds: a hardware token, Vault's agent, or ssh-agent itself."""

from __future__ import annotations

from pathlib import Path

from hoopjump.agent import RSA_SHA2_512, SIGN_REQUEST, SIGN_RESPONSE, AgentError, ask, identities
from hoopjump.decision.keys import PublicKey, parse_signature, verify_signature
from hoopjump.decision.wire import FormatError, encode_string


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
        flags = RSA_SHA2_512 if self._key.type == "ssh-rsa" else 0
        request = encode_string(self._key.blob) + encode_string(data) + flags.to_bytes(4, "big")
        number, answer = ask(self._path, bytes([SIGN_REQUEST]) + request, self._timeout)
        if number != SIGN_RESPONSE:
            raise AgentError(f"{self._path}: the agent refuses to sign (message {number})")
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
        if self._key.blob not in identities(self._path, self._timeout):
            raise AgentError(f"{self._path}: the agent does not hold the CA key", "ssh-add -l on its socket shows")
