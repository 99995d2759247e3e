"""What the gateway's session rows tell: the exit status that its SSH server lost, and who is cut at five minutes.

A row carries neither the client's address nor its certificate, and the SSH client is never told the row's id. So a
session is found by user, resource role, verb and time, and two that fit are no answer. Commands of the client ``hoop``
have a mark of ours in their rows.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Final

from hoopjump.decision.session import Role, Verb
from hoopjump.decision.values import User
from hoopjump.gateway.client import GatewayClient, GatewayError
from hoopjump.gateway.models import SessionReply, SessionsReply, read, seconds
from hoopjump.gateway.roles import like

log = logging.getLogger(__name__)

# The row is there about 0.1 s after the end of the session.
_PATIENCE: Final = 1.0
_PAUSE: Final = 0.1
# How far the clocks of bastion and gateway may be apart.
_SKEW: Final = 0.25
# A row that ended earlier than this before the question is another session's.
_RECENT: Final = 5.0

_TICK: Final = 300.0
_TICK_TOLERANCE: Final = 5.0
_CUT_STATUS: Final = 254

FIVE_MINUTES: Final = (
    "the gateway cut your last long session after five minutes, as it does when its own login has run out; "
    "if you have not logged in to the gateway since (web page or `hoop login`), do so now"
)


class Sessions:
    """Looks into the gateway's session rows. No method raises: not to know is an answer here."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    def exit_status(
        self, user: User, role: Role, verb: Verb, started: float, correlation: str | None = None
    ) -> int | None:
        """The exit status of the session that ``user`` began on ``role`` at ``started`` (Unix seconds), now over.

        ``correlation`` is the mark of its row, where that has one. Waits up to a second for the row to be done. None
        when no row, or more than one, can be it.
        """
        asked = time.time()
        until = time.monotonic() + _PATIENCE
        try:
            while True:
                row = self._only_row(user, role, verb, started, asked=asked, correlation=correlation)
                if row is None or row.status == "done" or time.monotonic() >= until:
                    break
                time.sleep(_PAUSE)
        except GatewayError as error:
            log.warning("exit status not known: %s", error.message)
            return None
        if row is None or row.status != "done":
            return None
        # -1 is that of a command that a signal ended (Go's ProcessState.ExitCode), for which ssh(1) has 255.
        status = 255 if row.exit_code == -1 else row.exit_code
        return status if status is not None and 0 <= status <= 255 else None

    def five_minute_notice(self, user: User) -> str | None:
        """A sentence for a user whose newest session of five minutes and more was cut then; None if that is not so.

        The gateway checks every five minutes that the token of the user's last login to the gateway itself is still
        good. Neither that token nor its end can be seen; what it did last time can.
        """
        query = {"user": like(user.subject), "limit": "100", "count": "none"}
        try:
            rows = read(SessionsReply, self._client.get("sessions", query=query)).data
        except GatewayError as error:
            log.warning("five-minute notice not known: %s", error.message)
            return None
        for row in sorted(rows, key=lambda row: seconds(row.start_date), reverse=True):
            if row.user_id != user.subject or row.identity_type != "user":
                continue
            length = (seconds(row.end_date) if row.end_date else time.time()) - seconds(row.start_date)
            if length < _TICK - _TICK_TOLERANCE:
                continue
            cut = row.end_date is not None and row.exit_code == _CUT_STATUS and length < _TICK + _TICK_TOLERANCE
            return FIVE_MINUTES if cut else None
        return None

    def _only_row(
        self, user: User, role: Role, verb: Verb, started: float, *, asked: float, correlation: str | None
    ) -> SessionReply | None:
        query = {
            "user": like(user.subject),
            "connection": like(role.name),
            # Whole seconds; without an end the gateway takes the begin of the current one.
            "start_date": _rfc3339(started - 1),
            "end_date": _rfc3339(asked + 2),
            "limit": "100",
            "count": "none",
            **({} if correlation is None else {"correlation_id": correlation}),
        }
        reply = read(SessionsReply, self._client.get("sessions", query=query))
        fitting = [
            row
            for row in reply.data
            if row.user_id == user.subject and row.connection == role.name and row.verb == verb
            if row.correlation_id == correlation
            if started - _SKEW <= seconds(row.start_date) <= asked + _SKEW
            if row.end_date is None or seconds(row.end_date) >= asked - _RECENT
        ]
        return fitting[0] if len(fitting) == 1 and not reply.has_next_page else None


def _rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
