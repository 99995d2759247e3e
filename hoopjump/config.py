"""The configuration: one TOML file, read strictly.

An unknown key or a bad value is a :class:`ConfigError` with the file, the line and, for a mistyped key, the nearest
valid name. Secrets stand in it by reference only: ``credential:NAME`` (systemd's ``$CREDENTIALS_DIRECTORY``) or
``file:/path`` (mode 0600 or stricter; owned by the reader or root, unless root reads).
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hoopjump.errors import HoopjumpError

DEFAULT_PATH = Path("/etc/hoopjump/hoopjump.toml")
SECRET_LIMIT = 64 * 1024

_SECRET_REFERENCE = re.compile(r"(credential:[A-Za-z0-9._-]+|file:/.+)\Z", re.DOTALL)


class ConfigError(HoopjumpError):
    """The configuration cannot be used; the message starts with ``FILE:LINE:`` where a line is known."""


def _secret_reference(value: str) -> str:
    if not _SECRET_REFERENCE.match(value):
        raise ValueError("must be credential:NAME or file:/PATH (secrets never stand in this file)")
    return value


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise ValueError("must be an absolute path")
    return value


SecretReference = Annotated[str, AfterValidator(_secret_reference)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class DaemonSection(_Section):
    """How the daemon runs."""

    socket: AbsolutePath = Field(
        default=Path("/run/hoopjump/hoopjumpd.sock"),
        description="Unix socket of the daemon; systemd's socket unit makes it.",
    )
    state_dir: AbsolutePath = Field(
        default=Path("/run/hoopjump"),
        description="Directory of the login table, agent sockets and generated ssh configurations.",
    )
    gateway_threads: int = Field(
        default=16, ge=1, le=256, description="Threads for calls to the gateway; one user gets a quarter."
    )
    calls_per_uid: int = Field(
        default=256,
        ge=1,
        description="Calls that the sessions of one user, or one uid outside of all logins (other than the hook's and "
        "root), may have open at a time.",
    )


class SshdSection(_Section):
    """The sshd in front of us."""

    rootless: bool = Field(
        default=False,
        description="sshd, daemon and sessions share one ordinary uid; for tests and trying out only.",
    )
    hook_user: str = Field(default="hoopjump-hook", description="AuthorizedPrincipalsCommandUser of the sshd block.")
    poll_interval: Seconds = Field(
        default=0.1, description="Seconds between looks at a connection that is admitted and not yet a login."
    )
    login_grace: Seconds = Field(
        default=120, description="Seconds after which an admitted certificate that became no login is forgotten."
    )


class TrustSection(_Section):
    """Whom we believe."""

    user_cas: AbsolutePath = Field(
        default=Path("/etc/hoopjump/user_ca.pub"),
        description="File of CA public keys, one a line; the same file as sshd's TrustedUserCAKeys.",
    )


class AccountsSection(_Section):
    """Which login accounts a user may use."""

    shared: tuple[str, ...] = Field(default=("hoop",), description="Accounts that every user may use.")
    own: bool = Field(
        default=False,
        description="Users may use an account named like their e-mail address, the part before @, or their subject. "
        "Whoever has the address admin@… may then use the account admin, where sshd's Match block covers it.",
    )
    map: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="More accounts by e-mail address or subject."
    )


class GatewaySection(_Section):
    """The Hoop gateway: its REST API, and its SSH server."""

    api_url: str = Field(description="Base URL of the gateway, without /api.", pattern=r"^https?://[^\s]+$")
    api_key: SecretReference = Field(
        default="credential:gateway-api-key",
        description="API key (hpk_...), by reference; one of group auditor is enough.",
    )
    ca_file: AbsolutePath | None = Field(
        default=None, description="PEM file of the CAs that may sign the gateway's TLS certificate."
    )
    ssh_host: str = Field(description="Host of the gateway's SSH server, as users write it after -J.")
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
    connect_timeout: Seconds = Field(default=1.0, description="Seconds to wait for a connection.")
    read_timeout: Seconds = Field(default=5.0, description="Seconds to wait for an answer.")
    cache: float = Field(default=30.0, ge=0, description="Seconds for which a positive answer is kept.")

    @property
    def in_clear(self) -> bool:
        """Whether the API key crosses a network without TLS."""
        parts = urlsplit(self.api_url)
        return parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost")


class HandoffSection(_Section):
    """How a session reaches the gateway."""

    ca_key: SecretReference = Field(
        default="credential:handoff-ca", description="Private key of the handoff CA (OpenSSH format), by reference."
    )
    ssh: AbsolutePath = Field(default=Path("/usr/bin/ssh"), description="The ssh client to start.")
    connect_timeout: int = Field(
        default=30,
        ge=1,
        le=600,
        description="Seconds in which a session must be let in at the gateway, which takes one client after the other.",
    )
    sftp_server: str = Field(
        default="/usr/lib/openssh/sftp-server",
        description="Path of sftp-server on the targets of type-ssh resource roles.",
        pattern=r"^/[A-Za-z0-9/._-]+$",
    )


class SessionSection(_Section):
    """Sessions through ForceCommand."""

    max_login: Seconds = Field(default=43200, description="Longest life of a login in seconds.")
    stdin: Literal["auto", "wait", "none"] = Field(
        default="auto",
        description="Input of a command: auto waits stdin_wait for its begin, wait for its end, none closes it.",
    )
    stdin_wait: Seconds = Field(
        default=0.3, description="Seconds in which the input of a command must begin or end, else it runs without."
    )
    stdin_hint: Seconds = Field(default=3.0, description="Seconds of waiting for input after which a hint is printed.")
    stdin_limit: int = Field(
        default=8 * 1024 * 1024, ge=1, description="Largest input in bytes; the gateway's own limit is near 10 MB."
    )
    output_buffer: int = Field(
        default=64 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes of output kept for a slow client before the inner ssh is stopped.",
    )


class AuditSection(_Section):
    """Where events go."""

    file: AbsolutePath | None = Field(
        default=Path("/var/log/hoopjump/audit.jsonl"), description="File of audit events, one JSON object a line."
    )
    log: Literal["journal", "stderr"] = Field(default="journal", description="Where the daemon's log lines go.")


class Config(_Section):
    """The whole configuration file."""

    daemon: DaemonSection = DaemonSection()
    sshd: SshdSection = SshdSection()
    trust: TrustSection = TrustSection()
    accounts: AccountsSection = AccountsSection()
    gateway: GatewaySection
    handoff: HandoffSection = HandoffSection()
    session: SessionSection = SessionSection()
    audit: AuditSection = AuditSection()


def load(path: Path) -> Config:
    """Read and check a configuration file, which root or the reader must own and nobody else may write.

    Raises :class:`ConfigError`.
    """
    try:
        with path.open(encoding="utf-8") as file:
            _must_be_ours(path, os.fstat(file.fileno()))
            text = file.read()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "name the file with --config") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    return parse(text, str(path))


def _must_be_ours(path: Path, status: os.stat_result) -> None:
    """Whoever may write this file says which gateway gets the API key, and which program a session becomes."""
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"{path}: belongs to uid {status.st_uid}, who could have us do anything",
            f"chown root:root {path}, once you have read it",
        )
    if status.st_mode & 0o022:
        raise ConfigError(
            f"{path}: is writable by others (mode {stat.S_IMODE(status.st_mode):04o})", f"chmod go-w {path}"
        )


def parse(text: str, name: str) -> Config:
    """Check configuration text; ``name`` is what errors call it."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        place = f"{name}:{found[1]}" if found else name
        raise ConfigError(f"{place}: {re.sub(r' *[(]at .*[)]$', '', str(error))}") from error
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise _explain(error, text, name) from error


def _explain(error: ValidationError, text: str, name: str) -> ConfigError:
    faults = error.errors(include_url=False, include_context=False)
    # A mistyped key is the cause of the missing one beside it.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    where = tuple(str(part) for part in first["loc"])
    dotted = ".".join(where)
    line = _line_of(text, where)
    place = f"{name}:{line}" if line else name
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(where[-1], _names_beside(where), n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(_names_beside(where))}"
        return ConfigError(f"{place}: unknown key `{dotted}`", hint)
    if first["type"] == "missing":
        return ConfigError(f"{place}: `{dotted}` is missing")
    message = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"{place}: `{dotted}`: {message[:1].lower()}{message[1:]}")


def _names_beside(where: tuple[str, ...]) -> list[str]:
    model: type[BaseModel] = Config
    for part in where[:-1]:
        field = model.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return sorted(model.model_fields)


def _line_of(text: str, where: tuple[str, ...]) -> int | None:
    """The line on which a key (or at least its table) stands; tomllib does not tell."""
    table: tuple[str, ...] = ()
    best: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        if header:
            table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
            if where[: len(table)] == table:
                best = number
            continue
        key = re.match(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_.-]+)\s*=", line)
        if key:
            full = table + tuple(part.strip("\"'") for part in key[1].split("."))
            if where[: len(full)] == full:
                return number
    return best


def read_secret(reference: str) -> str:
    """The secret behind a reference, without a final newline.

    Raises :class:`ConfigError` when it is missing, too large, not text, or may be read by others.
    """
    kind, _, rest = reference.partition(":")
    if kind == "credential":
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise ConfigError(
                f"{reference}: there are no systemd credentials here",
                "the daemon alone gets them; elsewhere name a file (--api-key file:/PATH, --handoff-ca FILE.pub)",
            )
        path = Path(directory) / rest
    else:
        path = Path(rest)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{reference}: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{reference}: not a regular file")
        # Root reads what belongs to the daemon's user, too: the command line works with the daemon's own files.
        strange = os.geteuid() != 0 and status.st_uid not in (0, os.geteuid())
        if kind == "file" and (strange or status.st_mode & 0o077):
            raise ConfigError(
                f"{reference}: must belong to {os.geteuid()} or root and be readable by nobody else",
                f"chmod 0600 {path}",
            )
        data = os.read(descriptor, SECRET_LIMIT + 1)
    finally:
        os.close(descriptor)
    if len(data) > SECRET_LIMIT:
        raise ConfigError(f"{reference}: larger than {SECRET_LIMIT} bytes")
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{reference}: not text") from error
