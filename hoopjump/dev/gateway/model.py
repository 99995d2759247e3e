"""What the stand-in gateway knows: users, keys, resource roles, sessions, reviews. In memory, or in one JSON file."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# The rank in which the SSH server resolves users that share an attribute value.
STATUS_RANK = {"active": 0, "invited": 1}


def new_id() -> str:
    """A random UUID as text."""
    return str(uuid.uuid4())


def now() -> str:
    """The moment as the gateway writes it: RFC 3339 in UTC with microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def hash_password(password: str, salt: bytes | None = None) -> str:
    """``salt$scrypt`` in hex."""
    salt = salt or os.urandom(16)
    return salt.hex() + "$" + hashlib.scrypt(password.encode(), salt=salt, n=2**12, r=8, p=1).hex()


@dataclass(slots=True)
class User:
    """A user; ``subject`` is what REST calls ``id``, ``user_id`` is the internal UUID that REST hides."""

    email: str
    subject: str
    name: str = ""
    user_id: str = field(default_factory=new_id)
    status: str = "active"
    groups: list[str] = field(default_factory=list)
    password: str = ""
    slack_id: str = ""
    picture: str = ""

    def password_is(self, password: str) -> bool:
        """Whether this is the user's password."""
        if not self.password:
            return False
        salt = bytes.fromhex(self.password.partition("$")[0])
        return hmac.compare_digest(self.password, hash_password(password, salt))


@dataclass(slots=True)
class ApiKey:
    """An API key; only its SHA-256 is kept."""

    name: str
    digest: str
    masked: str
    groups: list[str]
    created_by: str
    id: str = field(default_factory=new_id)
    status: str = "active"
    created_at: str = field(default_factory=now)
    last_used_at: str | None = None


@dataclass(slots=True)
class Agent:
    """An agent; in the stand-in it is part of the same process."""

    name: str
    id: str = field(default_factory=new_id)
    status: str = "CONNECTED"


@dataclass(slots=True)
class Role:
    """A resource role ("connection" over REST); ``secret`` maps ``envvar:NAME`` to base64."""

    name: str
    type: str
    subtype: str
    command: list[str]
    secret: dict[str, str]
    agent_id: str
    id: str = field(default_factory=new_id)
    access_mode_runbooks: str = "enabled"
    access_mode_exec: str = "enabled"
    access_mode_connect: str = "enabled"
    access_schema: str = "disabled"
    attributes: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    secrets_updated_at: str | None = None


@dataclass(slots=True)
class Review:
    """A request for access (``jit``) or for one script (``onetime``); ``access_duration`` in nanoseconds."""

    session: str
    type: str
    access_duration: int
    groups: list[dict[str, Any]]
    rule_name: str | None
    min_approvals: int | None
    force_approval_groups: list[str] | None
    id: str = field(default_factory=new_id)
    status: str = "PENDING"
    revoke_at: str | None = None
    created_at: str = field(default_factory=now)
    time_window: dict[str, Any] | None = None
    rejection_reason: str | None = None


@dataclass(slots=True)
class Session:
    """One session row."""

    user: str
    user_id: str
    user_name: str
    connection: str
    type: str
    subtype: str
    verb: str
    id: str = field(default_factory=new_id)
    script: str = ""
    status: str = "open"
    exit_code: int | None = None
    start_date: str = field(default_factory=now)
    end_date: str | None = None
    review: Review | None = None
    events: list[tuple[float, str, str]] = field(default_factory=list)
    event_size: int = 0
    correlation_id: str | None = None
    truncated: bool = False

    def end(self, exit_code: int) -> None:
        """Close the row."""
        self.status = "done"
        self.exit_code = exit_code
        self.end_date = now()


class Store:
    """All rows; ``path`` is the file they are kept in, or None for memory."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.org_id = new_id()
        self.users: list[User] = []
        self.api_keys: list[ApiKey] = []
        self.agents: list[Agent] = [Agent("default")]
        self.roles: list[Role] = []
        self.sessions: list[Session] = []
        self.plugins: list[dict[str, Any]] = []
        self.rules: list[dict[str, Any]] = []
        self.attributes: list[dict[str, Any]] = []
        self.misc: dict[str, Any] = {
            "grpc_server_url": "grpc://127.0.0.1:8010",
            "postgres_server_config": None,
            "ssh_server_config": None,
            "rdp_server_config": {"listen_address": "0.0.0.0:13389"},
            "http_proxy_server_config": {"listen_address": "0.0.0.0:18888"},
        }
        # What only lives as long as the process: how to end a session, and how many have ended.
        self.live: dict[str, Callable[[], None]] = {}
        self.finished_sessions = 0
        # Tokens are signed with a key of this process alone.
        self.token_key = secrets.token_bytes(32)
        if path is not None and path.exists():
            self._load(path)

    def save(self) -> None:
        """Write the file, if there is one; sessions are not kept."""
        if self.path is None:
            return
        data = {
            "org_id": self.org_id,
            "users": [asdict(row) for row in self.users],
            "api_keys": [asdict(row) for row in self.api_keys],
            "agents": [asdict(row) for row in self.agents],
            "roles": [asdict(row) for row in self.roles],
            "plugins": self.plugins,
            "rules": self.rules,
            "attributes": self.attributes,
            "misc": self.misc,
            "token_key": self.token_key.hex(),
        }
        descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
        Path(temporary).replace(self.path)

    def _load(self, path: Path) -> None:
        data = json.loads(path.read_text(encoding="utf-8"))
        self.org_id = data["org_id"]
        self.users = [User(**row) for row in data["users"]]
        self.api_keys = [ApiKey(**row) for row in data["api_keys"]]
        self.agents = [Agent(**row) for row in data["agents"]]
        self.roles = [Role(**row) for row in data["roles"]]
        self.plugins = data["plugins"]
        self.rules = data["rules"]
        self.attributes = data["attributes"]
        self.misc = data["misc"]
        self.token_key = bytes.fromhex(data["token_key"])

    def role(self, name_or_id: str) -> Role | None:
        """The role of a name, or of an id."""
        return next((role for role in self.roles if name_or_id in (role.name, role.id)), None)

    def role_named(self, name: str) -> Role | None:
        """The role of exactly this name: what the SSH server looks up."""
        return next((role for role in self.roles if role.name == name), None)

    def session(self, session_id: str) -> Session | None:
        """A session row by its id."""
        return next((row for row in self.sessions if row.id == session_id), None)

    def user_by(self, attribute: str, value: str) -> User | None:
        """The user the SSH server takes: duplicates rank active, invited, others, then by id."""
        if attribute == "user_id":
            try:
                wanted = str(uuid.UUID(value))
            except ValueError:
                return None
            found = [user for user in self.users if user.user_id.lower() == wanted]
        else:
            found = [user for user in self.users if getattr(user, attribute) == value]
        return min(found, key=lambda user: (STATUS_RANK.get(user.status, 2), user.user_id), default=None)

    def add_api_key(
        self, name: str, groups: list[str], created_by: str, value: str | None = None
    ) -> tuple[ApiKey, str]:
        """A new key and its value, which is shown this once."""
        value = value or "hpk_" + secrets.token_urlsafe(32)
        key = ApiKey(
            name=name,
            digest=hashlib.sha256(value.encode()).hexdigest(),
            masked=value[:8] + "*" * (len(value) - 8),
            groups=groups,
            created_by=created_by,
        )
        self.api_keys.append(key)
        return key, value
