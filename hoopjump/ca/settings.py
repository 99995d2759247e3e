"""The configuration of hoopjump-ca, read as strictly as hoopjump's own."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from hoopjump.config import AuditSection, SecretReference, TokenIssuerSection
from hoopjump.config.credentials import SECRET_REFERENCE
from hoopjump.config.fault import misfit
from hoopjump.config.kinds import HIDDEN, AbsolutePath, Count, Name, Section, Timeout, is_url, shaped
from hoopjump.config.tokens import issuer_names

DEFAULT_PATH: Final = Path("/etc/hoopjump/ca.toml")
AGENT: Final = "agent:"


def _service_url(value: str) -> str:
    if not is_url(value, "https") or "?" in value or value.endswith("/"):
        raise ValueError("must be https://HOST[:PORT][/PATH], without user, query, fragment and slash at the end")
    return value


def _is_address(host: str, port: int) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return 0 < port < 65536


# sshd's own extensions (PROTOCOL.certkeys); others could only surprise.
EXTENSIONS: Final = (
    "no-touch-required",
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
)
ServiceUrl = Annotated[str, AfterValidator(_service_url)]
HeaderName = Annotated[str, shaped(r"[A-Za-z0-9-]+", "the name of a header")]

_UNIX: Final = re.compile(r"unix:(/[^\0-\x1f\x7f]+)\Z")
_TCP: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})\Z")


class ServerSection(Section):
    """Where hoopjump-ca listens, and where it keeps what outlasts a restart."""

    url: ServiceUrl = Field(
        description="URL of the service as its clients write it, without a slash at the end; proofs are made for it."
    )
    listen: str = Field(
        default="[::]:8443",
        description="`ADDRESS:PORT` for TLS of its own, or `unix:/PATH` behind a proxy such as nginx.",
    )
    tls_certificate: AbsolutePath | None = Field(
        default=None, description="PEM file of the TLS certificate and its chain; read again on SIGHUP."
    )
    tls_key: SecretReference | None = Field(
        default=None, description="Private key of the TLS certificate, by reference; read again on SIGHUP."
    )
    source_header: HeaderName = Field(
        default="X-Real-IP", description="Header with the client's address; believed on a Unix socket only."
    )
    connections: int = Field(default=256, ge=1, le=65536, description="Connections at a time; more wait in the queue.")
    connections_per_source: Count = Field(
        default=32, description="Connections at a time from one address (IPv6: one /64); more are closed."
    )
    request_time: Timeout = Field(
        default=20.0, description="Seconds that a connection may take, from its TLS handshake to the end of the answer."
    )
    keys_dir: AbsolutePath = Field(
        default=Path("/var/lib/hoopjump-ca"),
        description="Directory of the issuers' last keys and of dropped ones.",
    )

    @property
    def unix_path(self) -> Path | None:
        """The path of the Unix socket, if it is one."""
        found = _UNIX.match(self.listen)
        return Path(found[1]) if found else None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on; only where there is no Unix socket."""
        found = _TCP.match(self.listen)
        if found is None:
            raise ValueError(self.listen)
        return found[1] or found[2], int(found[3])

    @field_validator("listen")
    @classmethod
    def _known_address(cls, value: str) -> str:
        found = _TCP.match(value)
        if not _UNIX.match(value) and (found is None or not _is_address(found[1] or found[2], int(found[3]))):
            raise ValueError("must be ADDRESS:PORT (an IPv6 address in brackets) or unix:/PATH")
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.unix_path is None and (self.tls_certificate is None or self.tls_key is None):
            raise misfit("without a Unix socket, tls_certificate and tls_key are needed", "listen")
        if self.unix_path is not None and (self.tls_certificate is not None or self.tls_key is not None):
            raise misfit("behind a proxy the TLS is the proxy's; leave tls_certificate and tls_key out", "listen")
        return self


class CertificateSection(Section):
    """The certificates that are issued."""

    ca_key: Annotated[str, HIDDEN] = Field(
        default="credential:user-ca",
        description="Private key of the CA: `credential:NAME` or `file:/PATH` (OpenSSH format, no passphrase), or "
        "`agent:/PATH`, the socket of an ssh-agent that holds it.",
    )
    ca_public_key: AbsolutePath | None = Field(
        default=None, description="File of the CA's public key; which of the agent's keys it is."
    )
    agent_timeout: Timeout = Field(default=10.0, description="Seconds that the agent may take for a signature.")
    extensions: tuple[str, ...] = Field(
        default=("permit-port-forwarding", "permit-pty"), description="Extensions of every certificate."
    )
    longest: int = Field(
        default=8 * 3600, ge=60, le=30 * 86400, description="Longest life in seconds; the token's end comes first."
    )
    key_id: Literal["user-and-token", "user"] = Field(
        default="user-and-token",
        description="The key ID: user and the token's `jti`, or the user alone, as a gateway with cert_attr key_id "
        "wants it.",
    )

    @property
    def agent(self) -> Path | None:
        """The agent's socket, if an agent holds the key."""
        return Path(self.ca_key.removeprefix(AGENT)) if self.ca_key.startswith(AGENT) else None

    @field_validator("ca_key")
    @classmethod
    def _known_place(cls, value: str) -> str:
        if not value.startswith(f"{AGENT}/") and not SECRET_REFERENCE.match(value):
            raise ValueError("must be credential:NAME, file:/PATH or agent:/PATH (secrets never stand in this file)")
        return value

    @field_validator("extensions")
    @classmethod
    def _known_extensions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not set(EXTENSIONS).issuperset(value) or len(set(value)) != len(value):
            raise ValueError(f"must be some of {', '.join(EXTENSIONS)}, each once")
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.agent is not None and self.ca_public_key is None:
            raise misfit("an agent may hold several keys; say which with ca_public_key", "ca_key")
        return self


class TokenSection(Section):
    """The token that is put into a certificate when asked for: bound to its key, and good for nothing else.

    Absent, no tokens are put into certificates.
    """

    issuer: Name = Field(description="Name of this issuer, as the bastion's [[tokens.issuer]] has it.")
    audience: Name = Field(description="For whom the token is: the bastion's audience for this issuer.")
    key: SecretReference = Field(
        default="credential:token-key",
        description="Private key that signs it, by reference; `hoopjump token keygen --algorithm EdDSA` makes one.",
    )


class LimitsSection(Section):
    """How much one asks for. Each limit is also how many requests may come at once."""

    per_source: int = Field(
        default=120, ge=1, le=1_000_000, description="Requests a minute from one address (IPv6: one /64)."
    )
    per_user: int = Field(default=20, ge=1, le=1_000_000, description="Certificates a minute for one user.")


class CaAuditSection(AuditSection):
    """Where hoopjump-ca's events go."""

    file: AbsolutePath | None = Field(
        default=Path("/var/log/hoopjump-ca/audit.jsonl"), description="File of audit events, one JSON object a line."
    )


class CaConfig(Section):
    """The whole of ca.toml."""

    server: ServerSection
    certificate: CertificateSection = CertificateSection()
    token: TokenSection | None = None
    issuer: tuple[TokenIssuerSection, ...] = Field(min_length=1)
    limits: LimitsSection = LimitsSection()
    audit: CaAuditSection = CaAuditSection()

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        names = issuer_names(self.issuer)
        for number, issuer in enumerate(self.issuer):
            if issuer.bound:
                raise misfit("a certificate is not issued for the token of another one", "issuer", number, "bound")
        if self.token is not None and self.token.issuer in names:
            raise misfit("tokens of hoopjump-ca need an issuer name of their own", "token", "issuer")
        return self
