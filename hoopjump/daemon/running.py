"""Sessions that run: their processes, their ends, and the exit status that the gateway may have lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from hoopjump.audit.events import Audit, AuditError, Fields, Kind
from hoopjump.daemon import texts
from hoopjump.daemon.clients import HandedOver
from hoopjump.daemon.login import Login
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.processes import Handle, Process, ProcessGoneError
from hoopjump.daemon.server import Call
from hoopjump.daemon.threads import Threads
from hoopjump.daemon.wire import Message, WireError
from hoopjump.decision.reasons import Reason
from hoopjump.decision.session import Role, Verb
from hoopjump.decision.values import User

# ssh(1): 255 when an error occurred, and when the server never told a status.
LOST: Final = 255
STATUS_SECONDS: Final = 1.4

# Output that a client does not take is kept in the bastion's memory: so many whole buffers for all sessions of a user.
WHOLE_BUFFERS: Final = 8
LEAST_BUFFER: Final = 1024 * 1024

log = logging.getLogger(__name__)


class Outcomes(Protocol):
    """What the gateway's session rows tell; may block."""

    def exit_status(
        self, user: User, role: Role, verb: Verb, started: float, correlation: str | None = None
    ) -> int | None:
        """The exit status of the session that began at ``started`` (Unix seconds), None when it is not known."""

    def five_minute_notice(self, user: User) -> str | None:
        """A sentence for a user whom the gateway will cut at five minutes."""


@dataclass(eq=False, slots=True)
class Running:
    """One session that was handed over; ``process`` is its hook, or the client that the hook became."""

    ref: str
    login: Login
    user: User
    role: Role
    verb: Verb
    process: Process
    handover: HandedOver
    started: float


class RunningSessions:
    """Follows sessions to their ends. Must be used inside a running event loop."""

    def __init__(
        self,
        table: LoginTable,
        outcomes: Outcomes,
        threads: Threads,
        audit: Audit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._outcomes = outcomes
        self._threads = threads
        self._audit = audit
        self._clock = clock
        self._followed: dict[Running, Handle] = {}
        self._begun: set[Running] = set()

    def buffer(self, user: User, whole: int) -> int:
        """How many bytes of output one more session of a user may leave unread, of ``whole`` for those with few."""
        others = sum(1 for one in self._begun if one.user.subject == user.subject)
        return max(LEAST_BUFFER, min(whole, WHOLE_BUFFERS * whole // (others + 1)))

    def begin(self, running: Running) -> None:
        """A session is about to run: its process ends with the login. Raises :class:`OSError`."""
        self._table.add_session_process(running.login, running.process)
        self._begun.add(running)

    def abandon(self, running: Running) -> None:
        """A session that was begun will not run after all."""
        running.handover.close()
        self._begun.discard(running)
        with contextlib.suppress(OSError):
            self._table.remove_session_process(running.login, running.process)

    def follow(self, running: Running) -> None:
        """Notice the end of a process that tells us nothing more."""
        try:
            handle = Handle.open(running.process)
        except ProcessGoneError:
            self.end(running)
            return
        self._followed[running] = handle
        asyncio.get_running_loop().add_reader(handle.fileno(), self._ended, running)

    async def status(self, running: Running, call: Call) -> None:
        """Wait for the exit status of a session that runs between two spools, and answer what to exit with."""
        status: int | None = None
        try:
            message = await call.read()
            if message is not None:
                status, text = await self._outcome(running, _status(message), broken=message.text("broken") is not None)
                await call.reply([("outcome", "exit"), ("exit", str(status)), *(("text", line) for line in text)])
        except asyncio.CancelledError:
            # The daemon stops; the session goes on without it.
            running.handover.leave()
            raise
        except BaseException:
            self.end(running, status)
            raise
        self.end(running, status)

    def end(self, running: Running, status: int | None = None) -> None:
        """A session has ended, or was never begun."""
        self.abandon(running)
        fields: Fields = {
            "login": running.login.ref,
            "account": running.login.admission.account,
            "user": running.user.email,
            "subject": running.user.subject,
            "role": running.role.name,
            "verb": running.verb,
            "exit": status,
            "seconds": round(self._clock() - running.started, 3),
        }
        try:
            self._audit.record(Kind.SESSION_ENDED, running.ref, **fields)
        except AuditError as error:
            log.critical("%s", error.message)

    def stop(self) -> None:
        """Let go of everything; the sessions go on, and end with their logins."""
        for running, handle in self._followed.items():
            asyncio.get_running_loop().remove_reader(handle.fileno())
            handle.close()
            running.handover.close()
        self._followed.clear()

    def _ended(self, running: Running) -> None:
        handle = self._followed.pop(running)
        asyncio.get_running_loop().remove_reader(handle.fileno())
        handle.close()
        self.end(running)

    async def _outcome(self, running: Running, status: int, *, broken: bool) -> tuple[int, list[str]]:
        if status != LOST:
            return status, []
        if not running.handover.used:
            return self._never_reached(running)
        found: int | None = None
        which = running.user, running.role, running.verb, running.started, running.handover.correlation
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATUS_SECONDS):
                found = await self._threads.ask(running.user.subject, lambda: self._outcomes.exit_status(*which))
        if found is not None and broken and found != LOST:
            # ssh did not read to the end (it dies of a write to a connection that the gateway has closed), so nobody
            # may take what it has read for all there was.
            return LOST, texts.output_incomplete(found, running.ref)
        if found is not None:
            return found, []
        return LOST, texts.status_unknown(running.ref)

    def _never_reached(self, running: Running) -> tuple[int, list[str]]:
        """Without a signature of ours no ssh was let in, so it is known that nothing was run."""
        reason = Reason.GATEWAY_UNAVAILABLE
        fields: Fields = {
            "login": running.login.ref,
            "user": running.user.email,
            "role": running.role.name,
            "reason": reason.code,
            "sentence": reason.sentence(),
            "detail": "ssh did not get as far as to authenticate at the gateway; see what it said on stderr",
        }
        with contextlib.suppress(AuditError):
            self._audit.record(Kind.SESSION_REFUSED, running.ref, **fields)
        return reason.value.exit_status, texts.refusal(reason, reason.sentence(), running.ref)


def _status(message: Message) -> int:
    text = message.text("exit") or ""
    if message.text("verb") != "status" or not text.isascii() or not text.isdigit() or len(text) > 3:
        raise WireError("a status was expected")
    return min(int(text), LOST)
