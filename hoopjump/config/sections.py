"""The sections of the configuration file, but those about tokens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from hoopjump.config.credentials import SecretReference
from hoopjump.config.fault import misfit
from hoopjump.config.kinds import AbsolutePath, Count, HttpUrl, Name, Port, Seconds, Section, Timeout, is_url, shaped


def _grpc_url(value: str) -> str:
    if not is_url(value, "grpcs", "grpc") or value.count("/") > 2:
        raise ValueError("must be grpcs://HOST:PORT")
    return value


Client = Literal["ssh", "hoop"]
GrpcUrl = Annotated[str, AfterValidator(_grpc_url)]
HostName = Annotated[str, shaped(r"[A-Za-z0-9.-]+", "a host's name")]
# In a line of ssh's configuration, and in a command for the shell of a resource role.
RelayPath = Annotated[
    str, shaped(r"/[A-Za-z0-9 ._/+-]+", "an absolute path of letters, digits, spaces and any of ._/+-")
]
TargetPath = Annotated[str, shaped(r"/[A-Za-z0-9/._-]+", "an absolute path of letters, digits and any of ._/-")]


class DaemonSection(Section):
    """How the daemon runs."""

    socket: AbsolutePath = Field(
        default=Path("/run/hoopjump/hoopjumpd.sock"),
        description="Unix socket of the daemon; systemd's socket unit makes it.",
    )
    state_dir: AbsolutePath = Field(
        default=Path("/run/hoopjump"),
        description="Directory of the login table, agent sockets and generated ssh configurations.",
    )
    keys_dir: AbsolutePath = Field(
        default=Path("/var/lib/hoopjump"),
        description="Directory of the issuers' last keys and of dropped ones; it outlasts restarts of the machine.",
    )
    gateway_threads: int = Field(
        default=16, ge=1, le=256, description="Threads for calls to the gateway; one user gets a quarter."
    )
    calls_per_uid: Count = Field(
        default=256,
        description="Calls that the sessions of one user, or all processes outside of logins together (other than the "
        "hook's and root's), may have open at a time.",
    )


class SshdSection(Section):
    """The sshd in front of us."""

    rootless: bool = Field(
        default=False,
        description="sshd, daemon and sessions share one ordinary uid; for tests and trying out only.",
    )
    hook_user: Name = Field(default="hoopjump-hook", description="AuthorizedPrincipalsCommandUser of the sshd block.")
    poll_interval: Timeout = Field(
        default=0.1, description="Seconds between looks at a connection that is admitted and not yet a login."
    )
    login_grace: Seconds = Field(
        default=120,
        description="Seconds after which an admitted certificate that became no login is forgotten; not less than "
        "sshd's LoginGraceTime.",
    )


class TrustSection(Section):
    """Whom we believe."""

    user_cas: AbsolutePath = Field(
        default=Path("/etc/hoopjump/user_ca.pub"),
        description="File of CA public keys, one a line; the same file as sshd's TrustedUserCAKeys.",
    )


class AccountsSection(Section):
    """Which login accounts a user may use."""

    shared: tuple[Name, ...] = Field(default=("hoop",), description="Accounts that every user may use.")
    own: bool = Field(
        default=False,
        description="Users may use an account named like their e-mail address, the part before @, or their subject. "
        "Whoever has the address admin@… may then use the account admin, where sshd's Match block covers it.",
    )
    map: dict[str, tuple[Name, ...]] = Field(
        default_factory=dict, description="More accounts by e-mail address or subject."
    )


class GatewaySection(Section):
    """The Hoop gateway: its REST API, and its SSH server."""

    api_url: HttpUrl = Field(description="Base URL of the gateway, without /api.")
    api_key: SecretReference = Field(
        default="credential:gateway-api-key",
        description="API key (hpk_...), by reference; one of group auditor is enough.",
    )
    ca_file: AbsolutePath | None = Field(
        default=None, description="PEM file of the CAs that may sign the gateway's TLS certificate."
    )
    ssh_host: Name = Field(description="Host of the gateway's SSH server, as users write it after -J.")
    ssh_port: Port = Field(default=12222, description="Port of the gateway's SSH server.")
    known_hosts: AbsolutePath = Field(
        default=Path("/etc/hoopjump/gateway_known_hosts"),
        description="known_hosts file with the gateway's host key; `hoopjump gateway sync` writes it.",
    )
    cert_attribute: Literal["principal", "key_id"] = Field(
        default="principal", description="Certificate attribute of the gateway's user mapping (cert_attr)."
    )
    user_attribute: Literal["email", "subject", "user_id"] = Field(
        default="email", description="User attribute of the gateway's user mapping (user_attr)."
    )
    directory_file: AbsolutePath | None = Field(
        default=None, description="CSV file `subject,user_id,email`, for user_attribute user_id."
    )
    directory_database: SecretReference | None = Field(
        default=None, description="PostgreSQL connection string of the gateway's database, for user_attribute user_id."
    )
    connect_timeout: Timeout = Field(default=1.0, description="Seconds to wait for a connection.")
    read_timeout: Timeout = Field(default=5.0, description="Seconds to wait for an answer.")
    cache: float = Field(default=30.0, ge=0, le=86400, description="Seconds for which a positive answer is kept.")

    @field_validator("ssh_host")
    @classmethod
    def _host_alone(cls, value: str) -> str:
        # An IPv6 address has colons of its own.
        if value.startswith("-") or re.search(r"[\s/@\[\]]", value) or value.count(":") == 1:
            raise ValueError("must be a name or an address alone; its port is ssh_port")
        return value

    @property
    def in_clear(self) -> bool:
        """Whether the API key crosses a network without TLS."""
        return self.api_url.startswith("http://") and not _is_loopback(self.api_url)


class HandoffSection(Section):
    """How a session reaches the gateway."""

    ca_key: SecretReference = Field(
        default="credential:handoff-ca", description="Private key of the handoff CA (OpenSSH format), by reference."
    )
    ssh: AbsolutePath = Field(default=Path("/usr/bin/ssh"), description="The ssh client to start.")
    client: Client = Field(
        default="ssh",
        description="What carries sessions to the gateway: ssh, or hoop, which acts with the user's own token "
        "([handing over](handoff.md)).",
    )
    roles: dict[str, Client] = Field(default_factory=dict, description="Another client for resource roles, by name.")
    hoop: AbsolutePath = Field(
        default=Path("/usr/lib/hoopjump/hoop"),
        description="The gateway's client: root's, executable and not readable for others (mode 0711).",
    )
    grpc_url: GrpcUrl | None = Field(
        default=None,
        description="The gateway's gRPC server for the client hoop, `grpcs://HOST:PORT`; `grpc://` is plain text and "
        "for loopback addresses only.",
    )
    tls_server_name: HostName | None = Field(
        default=None,
        description="Name in the TLS certificate of the gRPC server, where it is not the host's.",
    )
    relay: RelayPath = Field(
        default="/usr/lib/hoopjump/hook",
        description="The hook, which carries the connections of sessions without a terminal: it reads to the end what "
        "ssh would lose when the gateway closes early.",
    )
    connect_timeout: int = Field(
        default=30,
        ge=1,
        le=600,
        description="Seconds in which a session must be let in at the gateway, which takes one client after the other.",
    )
    sftp_server: TargetPath = Field(
        default="/usr/lib/openssh/sftp-server",
        description="Path of sftp-server on the targets of type-ssh resource roles.",
    )

    def client_of(self, role: str) -> Client:
        """The client of a resource role."""
        return self.roles.get(role, self.client)

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.uses_hoop and self.grpc_url is None:
            raise misfit("the client hoop needs it", "grpc_url")
        if self.grpc_url is not None and self.grpc_url.startswith("grpc://") and not _is_loopback(self.grpc_url):
            raise misfit("the user's token would cross a network in clear; use grpcs://", "grpc_url")
        return self

    @property
    def uses_hoop(self) -> bool:
        """Whether any session goes through the client hoop."""
        return "hoop" in (self.client, *self.roles.values())


class SessionSection(Section):
    """Sessions through ForceCommand."""

    max_login: Seconds = Field(default=43200, description="Longest life of a login in seconds.")
    stdin: Literal["auto", "wait", "none"] = Field(
        default="auto",
        description="Input of a command: auto waits stdin_wait for its begin, wait for its end, none closes it.",
    )
    stdin_wait: Timeout = Field(
        default=0.3, description="Seconds in which the input of a command must begin or end, else it runs without."
    )
    stdin_hint: Timeout = Field(default=3.0, description="Seconds of waiting for input after which a hint is printed.")
    stdin_limit: Count = Field(
        default=8 * 1024 * 1024,
        description="Largest input in bytes; the gateway's own limit is near 10 MB. The sessions of a user share eight "
        "of them: who has more open gets less for each, 1 MB at the least.",
    )
    output_buffer: int = Field(
        default=64 * 1024 * 1024,
        ge=1024 * 1024,
        le=2**31 - 1,
        description="Bytes of output kept for a slow client before the inner ssh is stopped. The sessions of a user "
        "share eight of them: who has more open gets less for each, 1 MB at the least.",
    )


class AuditSection(Section):
    """Where events go."""

    file: AbsolutePath | None = Field(
        default=Path("/var/log/hoopjump/audit.jsonl"), description="File of audit events, one JSON object a line."
    )
    log: Literal["journal", "stderr"] = Field(default="journal", description="Where log lines go.")


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
