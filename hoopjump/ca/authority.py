"""The two keys of hoopjump-ca: the one that signs certificates, and the one that signs the tokens within."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hoopjump.ca.agent import AgentSigner
from hoopjump.ca.settings import CertificateSection
from hoopjump.config import ConfigError, read_secret
from hoopjump.decision.decide import RSA_SMALLEST
from hoopjump.decision.jose import encode_segment
from hoopjump.decision.jwk import thumbprint
from hoopjump.decision.keys import KEY_TEXT_LIMIT, PublicKey, parse_public_key, read_public_key
from hoopjump.decision.wire import FormatError
from hoopjump.handoff.issue import IssueError, PrivateKeySigner, Signer


class Authority(Signer, Protocol):
    """A CA key that can be asked whether it is there."""

    def check(self) -> None:
        """Raises :class:`hoopjump.errors.HoopjumpError` when nothing could be signed."""


class _HeldSigner(PrivateKeySigner):
    def check(self) -> None:
        """A key in memory is always there."""


def open_authority(settings: CertificateSection) -> Authority:
    """The CA key, wherever it is; raises :class:`ConfigError`. An agent need not be there yet."""
    stated = _stated(settings)
    authority: Authority
    if settings.agent is not None and stated is not None:
        authority = AgentSigner(settings.agent, stated, settings.agent_timeout)
    else:
        try:
            authority = _HeldSigner.from_openssh(read_secret(settings.ca_key))
        except IssueError as error:
            raise ConfigError(
                f"{settings.ca_key}: {error.message}", "hoopjump ca create FILE --no-passphrase"
            ) from error
    key = parse_public_key(authority.public_key)
    if stated is not None and stated.blob != key.blob:
        raise ConfigError(f"{settings.ca_key}: is not the key of {settings.ca_public_key}")
    if key.type == "ssh-rsa" and key.bits < RSA_SMALLEST:
        raise ConfigError(f"{settings.ca_key}: RSA of {key.bits} bits is too weak for a CA")
    return authority


def _stated(settings: CertificateSection) -> PublicKey | None:
    path = settings.ca_public_key
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return read_public_key(file.read(KEY_TEXT_LIMIT + 1))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except FormatError as error:
        raise ConfigError(f"{path}: not an OpenSSH public key: {error}") from error


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Signs tokens with EdDSA; its ``kid`` is the key's thumbprint."""

    key: Ed25519PrivateKey
    kid: str

    @classmethod
    def open(cls, reference: str) -> TokenSigner:
        """The key behind a reference (PKCS#8 in PEM); raises :class:`ConfigError`."""
        try:
            key = load_pem_private_key(read_secret(reference).encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(
                f"{reference}: not an unencrypted Ed25519 key in PEM", "hoopjump token keygen --algorithm EdDSA FILE"
            )
        return cls(key, thumbprint(key.public_key()))

    def sign(self, claims: Mapping[str, Any]) -> bytes:
        """The compact token with these claims."""
        header = {"alg": "EdDSA", "typ": "JWT", "kid": self.kid}
        signed = b".".join(encode_segment(_compact(part)) for part in (header, claims))
        return signed + b"." + encode_segment(self.key.sign(signed))


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
