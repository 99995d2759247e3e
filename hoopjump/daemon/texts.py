"""What a session's user reads: refusals, notices, the list of resource roles. Lines without their newlines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from hoopjump.decision.reasons import Reason, printable
from hoopjump.decision.session import Role, has_sessions

SOON: Final = 600

PROMPT: Final = "resource role: "

# The reasons whose next step is the user's own. All other hints are for an administrator, who reads them in the log.
_THEIRS: Final = frozenset(
    {
        Reason.CERT_EXPIRED,
        Reason.LOGIN_MISMATCH,
        Reason.ROLE_MISSING,
        Reason.ROLE_MISSING_FOR_TOOL,
        Reason.ROLE_MALFORMED,
        Reason.ROLE_UNKNOWN,
        Reason.ROLE_REVIEW_REQUIRED,
        Reason.ROLE_TYPE_UNSUPPORTED,
        Reason.ROLE_NO_FILE_TRANSFER,
        Reason.COMMAND_TOO_LONG,
        Reason.COMMAND_MALFORMED,
        Reason.COMMAND_NOT_TEXT,
        Reason.TOKEN_EXPIRED,
        Reason.TOKEN_REVOKED,
        Reason.TOKEN_REQUIRED,
        Reason.CLIENT_TOKEN_MISSING,
        Reason.CLIENT_TOKEN_NOT_TAKEN,
    }
)


def refusal(reason: Reason, sentence: str, ref: str) -> list[str]:
    """A refusal, and the hint where it helps the user."""
    lines = [f"hoopjump: {sentence} ({reason.code}, ref {ref})"]
    if reason in _THEIRS:
        lines.append(f"hoopjump: hint: {reason.value.hint}")
    return lines


def sftp_status(reason: Reason) -> int:
    """The status code of a refusal in SFTP, which some clients show instead of its text.

    draft-ietf-secsh-filexfer-02, section 7: SSH_FX_OP_UNSUPPORTED where no transfer can be, SSH_FX_NO_CONNECTION where
    something is down, else SSH_FX_PERMISSION_DENIED.
    """
    if reason in (Reason.ROLE_NO_FILE_TRANSFER, Reason.ROLE_MISSING_FOR_TOOL):
        return 8
    return 6 if reason.value.exit_status in (os.EX_UNAVAILABLE, os.EX_TEMPFAIL) else 3


def status_unknown(ref: str) -> list[str]:
    """What is said when a session ended and nobody can tell how."""
    return [
        "hoopjump: the gateway closed the connection without an exit status; "
        f"whether the command did its work is not known (status-unknown, ref {ref})"
    ]


def output_incomplete(status: int, ref: str) -> list[str]:
    """What is said when a command is known to have ended, but not whether all that it wrote has come."""
    return [
        "hoopjump: the connection to the gateway broke before all had come; "
        f"the command ended with exit status {status}, part of its output may be missing (output-incomplete, ref {ref})"
    ]


def deadline_notice(deadline: int | None, now: float) -> list[str]:
    """Says when the login ends, if that is within ten minutes."""
    if deadline is None or deadline - now > SOON:
        return []
    end = datetime.fromtimestamp(deadline, UTC).strftime("%H:%M:%S")
    left = max(0, int(deadline - now))
    span = f"{left // 60} min {left % 60} s" if left >= 60 else f"{left} s"
    return [f"hoopjump: this login ends in {span} (at {end} UTC), with all its sessions"]


def token_notice(deadline: int) -> list[str]:
    """What is known of the end of a session that acts with the user's own token, and what is not."""
    end = datetime.fromtimestamp(deadline, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return [
        f"hoopjump: this session ends at {end} UTC at the latest, and before that five minutes or a multiple of them "
        "from now, when your last login to the gateway itself has run out by then"
    ]


def role_list(roles: Iterable[Role]) -> list[str]:
    """The resource roles that a user may use: name, type, state, and how each is used; one line if there is none."""
    rows = [(printable(role.name), _type(role), _state(role), _usage(role)) for role in roles]
    if not rows:
        return ["There is no resource role that you may use."]
    rows.insert(0, ("RESOURCE ROLE", "TYPE", "STATE", "HOW"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]) for row in rows
    ]


def chosen(answer: str, roles: Sequence[Role]) -> str | None:
    """The name that an answer to the list means: a name, or the beginning of just one; None if it means none.

    Numbers are no answer, since the list may have changed since it was shown.
    """
    wanted = answer.strip()
    names = [role.name for role in roles]
    if wanted in names:
        return wanted
    beginning = [name for name in names if wanted and name.startswith(wanted)]
    return beginning[0] if len(beginning) == 1 else None


def _type(role: Role) -> str:
    return printable(role.subtype or role.type)


def _state(role: Role) -> str:
    state = {True: "online", False: "offline", None: "unknown"}[role.online]
    if role.review_legacy or (role.review_jit and role.review_command):
        return f"{state}, needs approval"
    if role.review_command:
        return f"{state}, commands need approval"
    return f"{state}, needs approval" if role.review_jit else state


def _usage(role: Role) -> str:
    name = printable(role.name)
    if not has_sessions(role.protocol):
        return "not over SSH"
    ways = []
    commands = {"ssh": role.mode_connect, "command-line": role.mode_exec}
    if role.protocol in commands and role.mode_connect:
        ways.append(f"ssh -t BASTION {name}")
    if commands.get(role.protocol, False):
        ways.append(f"ssh BASTION {name} COMMAND")
    if role.protocol in ("postgres", "mysql") and role.mode_exec:
        ways.append(f"echo 'SELECT 1' | ssh BASTION {name}")
    return "; ".join(ways) or "its access modes are disabled"
