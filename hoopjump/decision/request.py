"""What a session asks for: the one place that knows how it names its resource role.

In this order: the login name (``alice+web1``), ``HOOP_RESOURCE``, the first word of the command. The first two leave
the whole command the command, so that scp, sftp, rsync and git work unmodified; their command lines are recognised
here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from hoopjump.decision.reasons import Reason

Tool = Literal["scp", "sftp", "rsync", "git"]
NamedBy = Literal["login", "resource", "command"]

# One word of argv is bounded at 131,072 bytes (MAX_ARG_STRLEN), and the name of the resource role is added in front.
COMMAND_LIMIT: Final = 100_000

# The gateway's rule for names of connections, but for a dash in front: `-oProxyCommand` must never become an argument.
_ROLE: Final = re.compile(r"(?!-)[A-Za-z0-9_.-]{3,254}\Z")
# SSH_ORIGINAL_COMMAND of a subsystem is the command line of sshd's Subsystem directive.
_SFTP_SERVER: Final = re.compile(rb"(?:internal-sftp|/[^\s;&|<>$`'\"\\()]*/sftp-server)(?: [A-Za-z0-9 =,._/-]*)?\Z")
_GIT: Final = re.compile(rb"git[ -](?:upload-pack|receive-pack|upload-archive)(?:\s|\Z)")
_RSYNC: Final = re.compile(rb"(?:/\S*/)?rsync\s+--server(?:\s|\Z)")
_SCP: Final = re.compile(rb"(?:/\S*/)?scp(?:\s+-[A-Za-z0-9]+)*?\s+-[A-Za-z0-9]*[tf][A-Za-z0-9]*(?:\s|\Z)")


class RequestError(ValueError):
    """The session asks for nothing that can be done; ``sentence`` and ``hint`` are for the user."""

    def __init__(self, reason: Reason, **values: str) -> None:
        self.reason = reason
        self.sentence = reason.sentence(**values)
        self.hint = reason.value.hint
        super().__init__(self.sentence)


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """A session's wish. ``role`` None: none is named, so show what there is; ``command`` None: a shell or terminal."""

    role: str | None
    command: bytes | None = None
    tool: Tool | None = None
    named_by: NamedBy | None = None


def split_account(account: str) -> tuple[str, str | None]:
    """A login name as (account, resource role or None): ``alice+web1`` is ``alice`` and ``web1``.

    The role follows the last ``+``. In ``alice+tag@x.io`` the plus is part of an e-mail address: a name of a role has
    no ``@``. The role may still be malformed; :func:`read_request` refuses it then.
    """
    base, plus, role = account.rpartition("+")
    if not plus or "@" in role:
        return account, None
    return base, role


def read_request(account: str, resource: str | None, command: bytes | None, sftp_server: str) -> SessionRequest:
    """Tell which resource role a session names, and what is left as its command.

    ``account`` is the login name, ``resource`` the value of ``HOOP_RESOURCE`` (empty is absent), ``command``
    SSH_ORIGINAL_COMMAND (None for a shell), ``sftp_server`` the path that replaces sshd's sftp subsystem on a target.
    Raises :class:`RequestError` (usage).
    """
    if command is not None:
        if len(command) >= COMMAND_LIMIT:
            raise RequestError(Reason.COMMAND_TOO_LONG)
        if b"\0" in command:
            raise RequestError(Reason.COMMAND_MALFORMED)
        command = command if command.strip() else None
    _, role = split_account(account)
    if role is not None:
        return _whole(role, "login", command, sftp_server)
    if resource:
        return _whole(resource, "resource", command, sftp_server)
    if command is None:
        return SessionRequest(None)
    return _first_word(command, sftp_server)


def _whole(role: str, named_by: NamedBy, command: bytes | None, sftp_server: str) -> SessionRequest:
    _check_role(role)
    tool = tool_of(command)
    return SessionRequest(role, sftp_server.encode() if tool == "sftp" else command, tool, named_by)


def _first_word(command: bytes, sftp_server: str) -> SessionRequest:
    tool = tool_of(command)
    if tool is not None:
        raise RequestError(Reason.ROLE_MISSING_FOR_TOOL, tool=tool)
    word, *rest = command.split(maxsplit=1)
    role = word.decode("ascii", "replace")
    _check_role(role)
    inner = rest[0] if rest else None
    tool = tool_of(inner)
    # A path is the user's own; `internal-sftp` is no program that a target has.
    if tool == "sftp" and inner is not None and not inner.startswith(b"/"):
        inner = sftp_server.encode()
    return SessionRequest(role, inner, tool, "command")


def _check_role(role: str) -> None:
    if not _ROLE.match(role):
        raise RequestError(Reason.ROLE_MALFORMED)


def tool_of(command: bytes | None) -> Tool | None:
    """Which file transfer tool's server side a command line starts, if any."""
    if command is None:
        return None
    if _SFTP_SERVER.match(command):
        return "sftp"
    if _SCP.match(command):
        return "scp"
    if _RSYNC.match(command):
        return "rsync"
    if _GIT.match(command):
        return "git"
    return None
