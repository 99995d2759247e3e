"""What a session may do: the gateway's own rules, looked at before anything is handed over.

The gateway refuses most things without a word over SSH, so every refusal that can be known is given here. The rules are
those of its certificate SSH server: the type of a resource role decides the protocol, the protocol and the session
decide the verb (``connect`` or ``exec``), and access modes and reviews go by the verb.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from hoopjump.decision.reasons import Reason
from hoopjump.decision.request import SessionRequest
from hoopjump.decision.values import Check, User

Mode = Literal["exec", "spool"]
Verb = Literal["connect", "exec"]

_APPLICATIONS: Final = {
    "ssh": "ssh",
    "ssh-local": "ssh",
    "git": "ssh",
    "github": "ssh",
    "tcp": "tcp",
    "httpproxy": "httpproxy",
    "kibana": "httpproxy",
    "grafana": "httpproxy",
    "mcpproxy": "mcpproxy",
}
_DATABASES: Final = frozenset({"postgres", "mysql", "mssql", "mongodb", "oracledb"})
_CUSTOM: Final = {
    "dynamodb": "dynamodb",
    "cloudwatch": "cloudwatch",
    "rdp": "rdp",
    "aws-ssm": "aws-ssm",
    "mcpproxy": "mcpproxy",
    "kubernetes": "kubernetes",
    "kubernetes-eks": "kubernetes",
    "kubernetes-token": "httpproxy",
    "httpproxy": "httpproxy",
}
_SESSIONS: Final = frozenset({"ssh", "command-line", "postgres", "mysql"})
_SEE_ALL: Final = frozenset({"admin", "auditor"})


@dataclass(frozen=True, slots=True)
class Role:
    """A resource role as the gateway describes it (there: a connection).

    ``online`` is None where the state of its agent is not known; the ``review_*`` say that an approval is needed: for
    commands, for access over a time, and by the older rule for both.
    """

    name: str
    type: str
    subtype: str = ""
    online: bool | None = None
    mode_connect: bool = True
    mode_exec: bool = True
    review_command: bool = False
    review_jit: bool = False
    review_legacy: bool = False
    attributes: tuple[str, ...] = ()
    id: str = ""

    @property
    def protocol(self) -> str:
        """See :func:`protocol_of`."""
        return protocol_of(self.type, self.subtype)


@dataclass(frozen=True, slots=True)
class AccessControl:
    """The gateway's ``access_control`` plugin: the groups that may see a connection, by its ID and by attribute."""

    enabled: bool = False
    by_connection: Mapping[str, frozenset[str]] = field(default_factory=dict)
    by_attribute: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionVerdict:
    """The answer to a session. ``mode`` and ``verb`` are None when it is refused.

    ``mode`` exec: become the inner ssh; spool: run it between gathered input and kept output. ``remote_command`` is
    what the gateway gets (``ROLE`` or ``ROLE COMMAND``); ``terminal``: ask the gateway for one.
    """

    reason: Reason
    sentence: str
    trace: tuple[Check, ...]
    mode: Mode | None = None
    verb: Verb | None = None
    remote_command: bytes = b""
    terminal: bool = False


def protocol_of(connection_type: str, subtype: str) -> str:
    """The protocol of a connection's type and subtype (the gateway's common/proto/types.go ToConnectionType)."""
    if connection_type == "httpproxy":
        return "mcpproxy" if subtype == "mcpproxy" else "httpproxy"
    if connection_type == "application":
        return _APPLICATIONS.get(subtype, "command-line")
    if connection_type == "custom":
        return _CUSTOM.get(subtype, "command-line")
    if connection_type == "database" and subtype in _DATABASES:
        return subtype
    return connection_type


def has_sessions(protocol: str) -> bool:
    """Whether the gateway's SSH server opens session channels for a protocol (its forwards: postgres, mysql)."""
    return protocol in _SESSIONS


def may_see(role: Role, user: User, access_control: AccessControl) -> bool:
    """Whether the gateway shows a resource role to a user.

    Without the plugin everybody sees everything. With it, administrators and auditors do; others need a group that is
    configured for the connection, or for one of its attributes. What is not configured is hidden.
    """
    groups = frozenset(user.groups)
    if not access_control.enabled or user.admin or groups & _SEE_ALL:
        return True
    allowed = access_control.by_connection.get(role.id, frozenset()) if role.id else frozenset()
    for attribute in role.attributes:
        allowed |= access_control.by_attribute.get(attribute, frozenset())
    return bool(groups & allowed)


def way_of(protocol: str, *, terminal: bool, command: bytes | None) -> tuple[Mode, Verb]:
    """How a session runs, and by which verb the gateway judges it.

    A type-``ssh`` role relays everything, and a command-line role on a terminal without arguments is interactive.
    Anything else takes its input as one blob at the start, and may lose output that is not taken at once.
    """
    if protocol == "ssh" or (protocol == "command-line" and terminal and command is None):
        return "exec", "connect"
    return "spool", "exec"


def decide_session(
    request: SessionRequest, role: Role, *, terminal: bool, permit_pty: bool, approved: bool = False
) -> SessionVerdict:
    """Decide a session on a resource role that the user may see.

    ``terminal``: the user has one; ``permit_pty``: the certificate has that extension; ``approved``: an approval for
    access over a time is known to run. Each rule stands in the trace; the reason is the first that does not hold.
    """
    mode, verb = way_of(role.protocol, terminal=terminal, command=request.command)
    kind = f"{role.type}/{role.subtype}" if role.subtype else role.type
    enabled = role.mode_connect if verb == "connect" else role.mode_exec
    review = role.review_legacy or (role.review_jit if verb == "connect" else role.review_command)
    # An approved request over a time lets later connects in; one for a command cannot be used over SSH at all.
    reviewed = not review or (approved and verb == "connect")
    tool = request.tool or ""
    steps: tuple[tuple[Check, Reason, dict[str, str]], ...] = (
        (
            Check("permit-pty", permit_pty, "extension of the certificate"),
            Reason.NO_PTY_PERMISSION,
            {},
        ),
        (
            Check("type", has_sessions(role.protocol), f"{kind} is {role.protocol}"),
            Reason.ROLE_TYPE_UNSUPPORTED,
            {"role": role.name, "type": kind},
        ),
        (
            Check("file-transfer", not tool or role.protocol == "ssh", tool or "none"),
            Reason.ROLE_NO_FILE_TRANSFER,
            {"role": role.name, "tool": tool},
        ),
        (
            Check("access-mode", enabled, verb),
            Reason.ROLE_MODE_DISABLED,
            {"role": role.name, "verb": verb},
        ),
        (
            Check("review", reviewed, "needed" if review else "not needed"),
            Reason.ROLE_REVIEW_REQUIRED,
            {"role": role.name},
        ),
        (
            Check(
                "online", role.online is not False, {None: "not known", True: "online", False: "offline"}[role.online]
            ),
            Reason.ROLE_OFFLINE,
            {"role": role.name},
        ),
    )
    trace = tuple(check for check, _, _ in steps)
    for check, reason, values in steps:
        if not check.passed:
            return SessionVerdict(reason, reason.sentence(**values), trace)
    name = role.name.encode()
    return SessionVerdict(
        Reason.ALLOWED,
        Reason.ALLOWED.sentence(),
        trace,
        mode,
        verb,
        name if request.command is None else name + b" " + request.command,
        terminal and mode == "exec",
    )


def unknown_role(name: str, visible: Collection[str]) -> SessionVerdict:
    """Refuse a resource role that is not there, or that the user may not see: both read the same.

    The suggestion comes from ``visible``, the names that the user may see, and from nowhere else.
    """
    by_folded = {candidate.casefold(): candidate for candidate in visible}
    near = difflib.get_close_matches(name.casefold(), list(by_folded), n=1)
    suggestion = f"; did you mean '{by_folded[near[0]]}'?" if near else ""
    sentence = Reason.ROLE_UNKNOWN.sentence(role=name, suggestion=suggestion)
    return SessionVerdict(Reason.ROLE_UNKNOWN, sentence, (Check("role", False, name),))
