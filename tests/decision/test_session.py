"""Sessions: what the gateway would refuse is refused here, and what it allows runs the right way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hoopjump.decision.reasons import Reason
from hoopjump.decision.request import SessionRequest, Tool
from hoopjump.decision.session import (
    AccessControl,
    Role,
    SessionVerdict,
    decide_session,
    has_sessions,
    may_see,
    protocol_of,
    unknown_role,
)
from hoopjump.decision.values import User

BASH = Role("mybash", "custom", online=True)
WEB = Role("web1", "application", "ssh", online=True)
PG = Role("pgdemo", "database", "postgres", online=True)


def session(
    role: Role,
    command: bytes | None = None,
    *,
    terminal: bool = False,
    tool: Tool | None = None,
    permit_pty: bool = True,
    approved: bool = False,
) -> SessionVerdict:
    request = SessionRequest(role.name, command, tool, "command")
    return decide_session(request, role, terminal=terminal, permit_pty=permit_pty, approved=approved)


@pytest.mark.parametrize(
    ("kind", "subtype", "protocol"),
    [
        *(("database", name, name) for name in ("postgres", "mysql", "mssql", "mongodb", "oracledb")),
        ("database", "db2", "database"),
        *(("application", name, "ssh") for name in ("ssh", "ssh-local", "git", "github")),
        ("application", "tcp", "tcp"),
        *(("application", name, "httpproxy") for name in ("httpproxy", "kibana", "grafana")),
        ("application", "mcpproxy", "mcpproxy"),
        ("application", "nodejs", "command-line"),
        ("application", "", "command-line"),
        *(("custom", name, name) for name in ("dynamodb", "cloudwatch", "rdp", "aws-ssm", "mcpproxy", "kubernetes")),
        ("custom", "kubernetes-eks", "kubernetes"),
        ("custom", "kubernetes-token", "httpproxy"),
        ("custom", "httpproxy", "httpproxy"),
        ("custom", "", "command-line"),
        ("custom", "ssh", "command-line"),
        ("custom", "postgres", "command-line"),
        ("httpproxy", "grafana", "httpproxy"),
        ("httpproxy", "mcpproxy", "mcpproxy"),
        ("command-line", "", "command-line"),
        ("postgres", "", "postgres"),
        ("something", "new", "something"),
    ],
)
def test_type_and_subtype_make_the_protocol(kind: str, subtype: str, protocol: str) -> None:
    """The gateway's own table."""
    assert protocol_of(kind, subtype) == protocol


@pytest.mark.parametrize(
    ("role", "command", "terminal", "mode", "verb", "remote", "asks_terminal"),
    [
        (WEB, None, True, "exec", "connect", b"web1", True),
        (WEB, None, False, "exec", "connect", b"web1", False),
        (WEB, b"ls -l", False, "exec", "connect", b"web1 ls -l", False),
        (WEB, b"vi x", True, "exec", "connect", b"web1 vi x", True),
        (BASH, None, True, "exec", "connect", b"mybash", True),
        (BASH, None, False, "spool", "exec", b"mybash", False),
        (BASH, b"ls -l", False, "spool", "exec", b"mybash ls -l", False),
        (BASH, b"ls -l", True, "spool", "exec", b"mybash ls -l", False),
        (PG, None, False, "spool", "exec", b"pgdemo", False),
        (PG, None, True, "spool", "exec", b"pgdemo", False),
        (PG, b"SELECT  1;\xff", True, "spool", "exec", b"pgdemo SELECT  1;\xff", False),
    ],
)
def test_how_a_session_runs(
    role: Role, command: bytes | None, terminal: bool, mode: str, verb: str, remote: bytes, asks_terminal: bool
) -> None:
    """Type ssh, and a command-line role on a terminal without arguments, become ssh; all else is spooled."""
    verdict = session(role, command, terminal=terminal)
    assert verdict.reason is Reason.ALLOWED
    assert (verdict.mode, verdict.verb, verdict.remote_command) == (mode, verb, remote)
    assert verdict.terminal is asks_terminal
    assert all(check.passed for check in verdict.trace)


def refused(verdict: SessionVerdict, reason: Reason) -> bool:
    return verdict.reason is reason and (verdict.mode, verdict.verb, verdict.remote_command) == (None, None, b"")


def test_without_permit_pty_there_is_no_session() -> None:
    """With or without a terminal: the gateway wants the extension for both."""
    assert refused(session(WEB, permit_pty=False, terminal=True), Reason.NO_PTY_PERMISSION)
    assert refused(session(BASH, b"ls", permit_pty=False), Reason.NO_PTY_PERMISSION)


@pytest.mark.parametrize(
    ("kind", "subtype"), [("application", "tcp"), ("database", "mongodb"), ("custom", "rdp"), ("httpproxy", "")]
)
def test_a_type_without_sessions_is_refused_by_name(kind: str, subtype: str) -> None:
    """The sentence names role and type."""
    verdict = session(Role("other", kind, subtype), terminal=True)
    assert refused(verdict, Reason.ROLE_TYPE_UNSUPPORTED)
    shown = f"{kind}/{subtype}" if subtype else kind
    assert verdict.sentence == f"The resource role 'other' (type {shown}) cannot be used over SSH."
    assert not has_sessions(protocol_of(kind, subtype))


@pytest.mark.parametrize("tool", ["scp", "sftp", "rsync", "git"])
@pytest.mark.parametrize("role", [BASH, PG], ids=["command-line", "postgres"])
def test_a_file_transfer_needs_a_role_of_type_ssh(role: Role, tool: Tool) -> None:
    """Elsewhere its input would be cut; the reason says so."""
    verdict = session(role, b"whatever", tool=tool)
    assert refused(verdict, Reason.ROLE_NO_FILE_TRANSFER)
    assert verdict.sentence.startswith(f"{tool} needs a resource role of type ssh; '{role.name}' is not one")


@pytest.mark.parametrize("tool", ["scp", "sftp", "rsync", "git"])
def test_a_file_transfer_on_a_role_of_type_ssh_is_plain_ssh(tool: Tool) -> None:
    """Nothing of ours stands between."""
    assert session(WEB, b"scp -t x", tool=tool).mode == "exec"


def test_the_access_mode_of_the_verb_counts() -> None:
    """That of connect for an interactive session, of exec for a command; the other does not matter."""
    no_exec, no_connect = replace(BASH, mode_exec=False), replace(BASH, mode_connect=False)
    assert refused(session(no_exec, b"ls"), Reason.ROLE_MODE_DISABLED)
    assert refused(session(no_connect, terminal=True), Reason.ROLE_MODE_DISABLED)
    assert session(no_exec, terminal=True).mode == "exec"
    assert session(no_connect, b"ls").mode == "spool"
    assert session(no_exec, b"ls").sentence == "The resource role 'mybash' does not allow exec sessions."
    assert refused(session(replace(WEB, mode_connect=False), b"ls"), Reason.ROLE_MODE_DISABLED)


@pytest.mark.parametrize(
    ("role", "interactive", "command"),
    [
        (replace(BASH, review_jit=True), False, True),
        (replace(BASH, review_command=True), True, False),
        (replace(BASH, review_legacy=True), False, False),
        (BASH, True, True),
    ],
)
def test_a_needed_approval_is_a_refusal(role: Role, interactive: bool, command: bool) -> None:
    """Over a time for connect, for a command for exec, and the older rule for both."""
    assert (session(role, terminal=True).reason is Reason.ALLOWED) is interactive
    assert (session(role, b"ls").reason is Reason.ALLOWED) is command
    for verdict in (session(role, terminal=True), session(role, b"ls")):
        assert verdict.reason in (Reason.ALLOWED, Reason.ROLE_REVIEW_REQUIRED)


def test_a_running_approval_lets_connects_in_and_nothing_else() -> None:
    """A command's one-time approval cannot be used over SSH."""
    jit = replace(BASH, review_jit=True)
    assert session(jit, terminal=True, approved=True).mode == "exec"
    both = replace(jit, review_command=True, review_legacy=True)
    assert session(both, terminal=True, approved=True).mode == "exec"
    assert refused(session(both, b"ls", approved=True), Reason.ROLE_REVIEW_REQUIRED)


def test_an_offline_agent_is_told_at_once() -> None:
    """The gateway would take five seconds to say so; a state that is not known is no reason to refuse."""
    assert refused(session(replace(BASH, online=False), b"ls"), Reason.ROLE_OFFLINE)
    assert session(replace(BASH, online=None), b"ls").mode == "spool"


def test_all_rules_stand_in_the_trace_and_the_first_decides() -> None:
    """Also those after the one that failed."""
    role = Role("other", "custom", "rdp", online=False, mode_exec=False, review_command=True)
    verdict = session(role, b"x", tool="git", permit_pty=False)
    assert verdict.reason is Reason.NO_PTY_PERMISSION
    assert [check.name for check in verdict.trace] == [
        "permit-pty",
        "type",
        "file-transfer",
        "access-mode",
        "review",
        "online",
    ]
    assert not any(check.passed for check in verdict.trace)


# Who sees what

DEV = User("s", "dev@x.io", "active", ("dev",))
CONTROL = AccessControl(
    True, by_connection={"c1": frozenset({"dev", "ops"})}, by_attribute={"prod": frozenset({"ops"})}
)


@pytest.mark.parametrize(
    ("role", "user", "sees"),
    [
        (Role("one", "custom", id="c1"), DEV, True),
        (Role("one", "custom", id="c1"), replace(DEV, groups=("qa",)), False),
        (Role("one", "custom", id="c1"), replace(DEV, groups=()), False),
        (Role("two", "custom", id="c2"), DEV, False),
        (Role("two", "custom", id="c2", attributes=("prod",)), replace(DEV, groups=("ops",)), True),
        (Role("two", "custom", id="c2", attributes=("prod",)), DEV, False),
        (Role("two", "custom", id="c2", attributes=("other",)), replace(DEV, groups=("ops",)), False),
        (Role("two", "custom", id="c2"), replace(DEV, groups=("admin",)), True),
        (Role("two", "custom", id="c2"), replace(DEV, groups=("auditor",)), True),
        (Role("two", "custom", id="c2"), replace(DEV, groups=(), admin=True), True),
        (Role("two", "custom"), DEV, False),
    ],
)
def test_the_access_control_plugin_is_recomputed(role: Role, user: User, sees: bool) -> None:
    """A group of the connection or of its attribute; administrators and auditors see all; the rest is hidden."""
    assert may_see(role, user, CONTROL) is sees


def test_without_the_plugin_everything_is_visible() -> None:
    """And with an empty one nothing is."""
    assert may_see(BASH, DEV, AccessControl())
    assert not may_see(BASH, DEV, AccessControl(True))


@pytest.mark.parametrize(
    ("name", "visible", "sentence"),
    [
        ("pgdmo", ("pgdemo", "mybash"), "no such resource role 'pgdmo'; did you mean 'pgdemo'?"),
        ("PGDEMO", ("pgdemo",), "no such resource role 'PGDEMO'; did you mean 'pgdemo'?"),
        ("secret-db", ("pgdemo", "mybash"), "no such resource role 'secret-db'"),
        ("pgdmo", (), "no such resource role 'pgdmo'"),
    ],
)
def test_an_unknown_role_is_answered_from_what_the_user_may_see(
    name: str, visible: tuple[str, ...], sentence: str
) -> None:
    """A role that exists and is hidden reads like one that does not exist."""
    verdict = unknown_role(name, visible)
    assert verdict.sentence == sentence
    assert refused(verdict, Reason.ROLE_UNKNOWN)
