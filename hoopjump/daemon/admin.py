"""The verbs of administrators: which logins there are, ending one, and what became of a reference."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from hoopjump.audit.events import AuditError, Event
from hoopjump.audit.sinks import find
from hoopjump.daemon.login import Login
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.server import Call, Handler
from hoopjump.daemon.wire import WireError
from hoopjump.decision.certificate import parse_certificate
from hoopjump.decision.reasons import printable
from hoopjump.decision.token_mark import TokenMark

# Of a frame's 262,144 bytes; the JSON stands there within a netstring, beside little else.
ANSWER_LIMIT: Final = 200_000

Cut = Callable[[Login, str], None]
Row = dict[str, Any]


class Administration:
    """Answers ``logins``, ``end`` and ``explain``; the server lets only root and the daemon's own uid ask.

    ``cut`` ends a login (:meth:`hoopjump.daemon.watch.Watch.cut`); ``trail`` is the audit file, if there is one.
    """

    def __init__(self, table: LoginTable, cut: Cut, trail: Path | None) -> None:
        self._table = table
        self._cut = cut
        self._trail = trail

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handler of each verb."""
        return {"logins": self.logins, "end": self.end, "explain": self.explain}

    async def logins(self, call: Call) -> None:
        """The logins, oldest first: a list of objects.

        An answer holds some hundreds of them. Where there are more, the last object has ``"more": true``, and the next
        question gives its ``admitted_at`` and ``login`` back as ``after``, with a space between.
        """
        after = _place(call.message.text("after"))
        rows: list[Row] = []
        left = ANSWER_LIMIT
        for login in sorted(self._table, key=_order):
            if after is not None and _order(login) <= after:
                continue
            row = _login_row(login)
            left -= len(json.dumps(row))
            if left < 0:
                rows[-1]["more"] = True
                break
            rows.append(row)
        await _answer(call, rows)

    async def end(self, call: Call) -> None:
        """End the login ``login``: ``{"login": …, "found": true or false}``. It closes when its sshd has ended."""
        ref = _wanted(call, "login")
        login = self._table.get(ref)
        if login is not None:
            self._cut(login, f"ended by uid {call.uid}")
        await _answer(call, {"login": ref, "found": login is not None})

    async def explain(self, call: Call) -> None:
        """What is known of ``ref``.

        ``events`` are the audit file's with this reference, ``of_login`` those of the login that they belong to
        (empty when the reference is the login's own), each the newest ones that an answer can hold; ``login`` is the
        login if it still is one. ``trail`` is the file's path, or null; ``fault`` says why it could not be read.
        """
        ref = _wanted(call, "ref")
        events: list[Event] = []
        related: list[Event] = []
        fault = None
        if self._trail is not None:
            try:
                events = await asyncio.to_thread(find, self._trail, ref)
                owner = next((event.fields["login"] for event in events if "login" in event.fields), ref)
                if owner != ref:
                    related = await asyncio.to_thread(find, self._trail, owner)
            except AuditError as error:
                fault = error.message
        login = self._table.get(ref)
        await _answer(
            call,
            {
                "ref": ref,
                "login": None if login is None else _login_row(login),
                "events": _newest(events),
                "of_login": _newest(related),
                "trail": None if self._trail is None else str(self._trail),
                "fault": fault,
            },
        )


def _wanted(call: Call, key: str) -> str:
    value = call.message.text(key)
    if not value:
        raise WireError(f"{key} is missing")
    return value


def _order(login: Login) -> tuple[float, str]:
    return login.admitted_at, login.ref


def _place(after: str | None) -> tuple[float, str] | None:
    if after is None:
        return None
    moment, _, ref = after.partition(" ")
    try:
        return float(moment), ref
    except ValueError:
        raise WireError("after is no place in the list") from None


def _login_row(login: Login) -> Row:
    admission = login.admission
    user = admission.user
    certificate = parse_certificate(admission.certificate)
    return {
        "login": login.ref,
        "state": login.state.value,
        "ending": login.cut is not None,
        "account": admission.account,
        "user": None if user is None else user.email,
        "subject": None if user is None else user.subject,
        "source": admission.source,
        "told_source": login.told_source,
        "access": admission.access.value,
        "reason": admission.reason.code,
        "admitted_at": login.admitted_at,
        "opened_at": login.opened_at,
        "deadline": admission.deadline,
        "monitor": login.monitor.pid,
        "sessions": len(login.session_processes),
        "tokens": [_token_row(token) for token in admission.tokens],
        "certificate": {"serial": str(certificate.serial), "key_id": printable(certificate.key_id)},
    }


def _token_row(token: TokenMark) -> Row:
    return {name: value for name, value in asdict(token).items() if value}


def _newest(events: list[Event]) -> list[Row]:
    rows: list[Row] = []
    left = ANSWER_LIMIT // 2
    for event in reversed(events):
        text = event.to_json()
        left -= len(text)
        if left < 0:
            break
        rows.append(json.loads(text))
    return rows[::-1]


async def _answer(call: Call, value: object) -> None:
    await call.reply([("outcome", "ok"), ("json", json.dumps(value))])
