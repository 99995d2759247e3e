"""Whether a session may begin: kind, access control, access mode, agent, reviews. Refusals are mostly silent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hoopjump.dev.gateway.access import protocol, rule_for, visible
from hoopjump.dev.gateway.identity import caller_of_user
from hoopjump.dev.gateway.model import Role, Session
from hoopjump.dev.gateway.reviews import has_grant, open_review
from hoopjump.dev.gateway.roles_command import CommandTarget
from hoopjump.dev.gateway.roles_database import DatabaseTarget
from hoopjump.dev.gateway.roles_ssh import SshTarget
from hoopjump.dev.gateway.targets import KILLED, Target, Unreachable

if TYPE_CHECKING:
    from hoopjump.dev.gateway.ssh_connection import Connection

OFFLINE_WAIT = 5.1

_FORWARDS: dict[str, type[Target]] = {"postgres": DatabaseTarget, "mysql": DatabaseTarget}
_SESSIONS: dict[str, type[Target]] = {
    "command-line": CommandTarget,
    "postgres": CommandTarget,
    "mysql": CommandTarget,
    "ssh": SshTarget,
}


async def open_target(connection: Connection, role: Role, *, interactive: bool, forward: bool) -> Target:
    """Open a role for a connection, with its session row; raises :class:`Unreachable`.

    The verb is ``connect`` for forwards, for roles of type ssh and for a terminal without a command, else ``exec``.
    """
    kind = protocol(role)
    if forward:
        if kind not in _FORWARDS:
            raise Unreachable
        return _FORWARDS[kind](connection, role, await _admit(connection, role, "connect"))
    if kind not in _SESSIONS:
        raise Unreachable(
            f'connection "{role.name}" (type={kind}) does not support pty/exec sessions; '
            "must be type ssh, custom, or database (postgres/mysql)",
            visible=True,
        )
    verb = "connect" if kind == "ssh" or (kind == "command-line" and interactive) else "exec"
    return _SESSIONS[kind](connection, role, await _admit(connection, role, verb))


async def _admit(connection: Connection, role: Role, verb: str) -> Session:
    store, user, faults = connection.store, connection.user, connection.faults
    silent = Unreachable(visible=faults.refusal_text)
    caller = caller_of_user(user) if user is not None else None
    if caller is None or not visible(store, caller, role):
        raise silent
    if (role.access_mode_connect if verb == "connect" else role.access_mode_exec) == "disabled":
        raise silent
    if role.name in faults.agent_offline:
        await asyncio.sleep(OFFLINE_WAIT)
        raise Unreachable("session timed out waiting for the target server", visible=True)
    row = caller.session(role, verb)
    store.sessions.append(row)
    kind = "jit" if verb == "connect" else "onetime"
    rule = rule_for(store, role, "jit" if verb == "connect" else "command")
    if rule is not None and not (kind == "jit" and has_grant(store, caller.subject, role.name)):
        open_review(row, rule, kind)
        row.end(KILLED)
        raise silent
    store.live[row.id] = connection.cut
    return row
