"""What a connection's channels are served by: the role that its first channel named, and the session row."""

from __future__ import annotations

import base64
import os
import time
from typing import TYPE_CHECKING

import asyncssh

from hoopjump.dev.gateway.model import Role
from hoopjump.dev.gateway.model import Session as Row

if TYPE_CHECKING:
    from hoopjump.dev.gateway.ssh_connection import Connection
    from hoopjump.dev.gateway.ssh_session import Session

STDIN_WINDOW = 0.1
STDIN_GAP = 0.02
STDIN_LIMIT = 16 * 1024 * 1024
RECORD_LIMIT = 1024 * 1024
KILLED = 254


class Unreachable(Exception):  # noqa: N818 - an outcome
    """The role cannot be used; most causes are not told to the user."""

    def __init__(self, text: str = "cannot connect to target server", *, visible: bool = False) -> None:
        super().__init__(text)
        self.visible = visible


class Target:
    """A role being used by one SSH connection."""

    abandoned = KILLED
    """The exit code of a session whose client went away."""

    def __init__(self, connection: Connection, role: Role, row: Row) -> None:
        self.connection = connection
        self.role = role
        self.row = row
        self.started = time.monotonic()
        self.stopped = False

    async def serve(self, session: Session, command: str) -> None:
        """Serve a session channel; ``command`` is what followed the role's name."""
        raise Unreachable

    async def forward(self) -> asyncssh.SSHTCPSession[bytes]:
        """Serve a forward."""
        raise Unreachable

    def stop(self, *, killed: bool) -> None:
        """End what is running, because it was killed or because the client is gone; what starts later ends at once."""
        self.stopped = True
        self.end(KILLED if killed else self.abandoned)

    def end(self, exit_code: int) -> None:
        """Close the row, once."""
        self.connection.store.live.pop(self.row.id, None)
        if self.row.status != "done":
            self.row.end(exit_code)

    def record(self, kind: str, data: bytes) -> None:
        """Keep an event of the session: ``i``, ``o`` or ``e``; what is too much for memory is only counted."""
        self.row.event_size += len(data)
        if self.row.event_size > RECORD_LIMIT:
            self.row.truncated = True
            return
        self.row.events.append((time.monotonic() - self.started, kind, base64.b64encode(data).decode()))

    def environment(self) -> dict[str, str]:
        """What the role's command finds in its environment."""
        return environment_of(self.role, self.row)


def environment_of(role: Role, row: Row) -> dict[str, str]:
    """The environment of a command run for a session: the role's variables, and who asked."""
    variables = secrets_of(role)
    names = ("PATH", "HOME", "LANG", "TMPDIR")
    base = {name: os.environ[name] for name in names if name in os.environ}
    if "PASS" in variables:
        base |= {"PGPASSWORD": variables["PASS"], "MYSQL_PWD": variables["PASS"]}
    if "SSLMODE" in variables:
        base["PGSSLMODE"] = variables["SSLMODE"]
    return base | variables | {
        "HOOP_SESSION_ID": row.id,
        "HOOP_USER_EMAIL": row.user,
        "HOOP_USER_ID": row.user_id,
        "HOOP_CONNECTION_NAME": role.name,
        "HOOP_CONNECTION_TYPE": role.type,
    }  # fmt: skip


def secrets_of(role: Role) -> dict[str, str]:
    """A role's environment variables, decoded."""
    return {
        key.removeprefix("envvar:"): base64.b64decode(value).decode()
        for key, value in role.secret.items()
        if key.startswith("envvar:")
    }
