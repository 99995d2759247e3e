"""Watching logins: when one becomes real, when it ends, and ending it when its time is over.

sshd says nothing of any of this. A login is open when the monitor has a child that runs as the account (sshd's
privsep_postauth forks it after proof of possession, sshd.c and sshd-session.c), which is looked for only while a login
is awaited; its end is the end of the monitor, of which the pidfd tells. No capability is needed to watch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hoopjump.audit.events import Audit, AuditError, Fields, Kind
from hoopjump.config import SshdSection
from hoopjump.daemon import processes
from hoopjump.daemon.endings import Endings
from hoopjump.daemon.login import Login, State
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.processes import Handle, Process, ProcessGoneError
from hoopjump.decision.reasons import Reason
from hoopjump.decision.values import Token

CUT_SECONDS: Final = 5.0
LEFTOVER_SECONDS: Final = 2.0
LOOKS_PER_SECOND: Final = 100  # at all logins that are awaited; many at once are looked at less often each
LOOK_SECONDS: Final = 60.0  # a timer follows the monotonic clock; the deadline is on the other one

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    handle: Handle
    poll: asyncio.TimerHandle | None = None
    deadline: asyncio.TimerHandle | None = None

    def release(self) -> None:
        for timer in (self.poll, self.deadline):
            if timer is not None:
                timer.cancel()
        asyncio.get_running_loop().remove_reader(self.handle.fileno())
        self.handle.close()


class Watch:
    """Follows every login of a table until it closes. Must be used inside a running event loop."""

    def __init__(
        self, table: LoginTable, audit: Audit, sshd: SshdSection, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = table
        self._audit = audit
        self._sshd = sshd
        self._clock = clock
        self._watched: dict[Process, _Watched] = {}
        self._awaited: set[Process] = set()
        self._endings = Endings()

    def resume(self) -> None:
        """Take up the logins that the table was loaded with; those whose monitor has ended meanwhile are closed."""
        for login in self._table:
            self.follow(login)

    def follow(self, login: Login) -> None:
        """Watch a login that was admitted, again or for the first time; it closes at once if its monitor has ended."""
        watched = self._watched.get(login.monitor)
        if watched is None:
            try:
                watched = _Watched(Handle.open(login.monitor))
            except ProcessGoneError:
                self._close(login)
                return
            self._watched[login.monitor] = watched
            asyncio.get_running_loop().add_reader(watched.handle.fileno(), self._close, login)
        if login.state is State.ADMITTED and watched.poll is None:
            self._later(login, watched)
        self._look_at_clock(login)

    def open(self, login: Login) -> None:
        """A login has become real; nothing happens when that is known already."""
        if login.state is not State.ADMITTED:
            return
        login.state = State.OPEN
        login.opened_at = self._clock()
        self._awaited.discard(login.monitor)
        watched = self._watched.get(login.monitor)
        if watched is not None and watched.poll is not None:
            watched.poll.cancel()
            watched.poll = None
        self._keep(login)
        self._record(Kind.LOGIN_OPENED, login)

    def cut(self, login: Login, detail: str, reason: Reason = Reason.LOGIN_ENDED) -> None:
        """End a login with all its channels: SIGTERM to the monitor, which passes it on, SIGKILL after five seconds.

        Its processes are killed with it: without its monitor, sshd's child would go on relaying forwards. A session
        that it still asks for is refused with ``reason``; ``detail`` is for the log.
        """
        if login.cut is None:
            login.cut = reason
            self._keep(login)
            self._record(Kind.LOGIN_CUT, login, {"reason": reason.code, "detail": detail})
        self._endings.end([login.monitor], processes.descendants(login.monitor), CUT_SECONDS)

    def bind(self, login: Login, token: Token) -> None:
        """Have a login end with a token that one of its sessions has brought, where it would end later.

        Raises :class:`OSError`, and then it ends when it would have: the next daemon would know no better.
        """
        before = login.admission
        login.admission = before.with_token(token.mark, token.ends)
        if login.admission == before:
            return
        try:
            self._table.put(login)
        except OSError:
            login.admission = before
            raise
        self._look_at_clock(login)

    def stop(self) -> None:
        """Let go of everything; logins go on, and wait in the table for the next daemon."""
        for watched in self._watched.values():
            watched.release()
        self._watched.clear()
        self._awaited.clear()
        self._endings.finish()

    def _later(self, login: Login, watched: _Watched) -> None:
        self._awaited.add(login.monitor)
        delay = max(self._sshd.poll_interval, len(self._awaited) / LOOKS_PER_SECOND)
        watched.poll = asyncio.get_running_loop().call_later(delay, self._look_for_child, login, watched)

    def _look_for_child(self, login: Login, watched: _Watched) -> None:
        watched.poll = None
        if self._is_real(login):
            self.open(login)
        elif self._clock() >= login.admitted_at + self._sshd.login_grace:
            self._forget(login)
        else:
            self._later(login, watched)

    def _is_real(self, login: Login) -> bool:
        try:
            # Other programs that sshd may run as the account before possession is proven go by other names.
            own = processes.name(login.monitor)
            running = [child for child in processes.children(login.monitor) if processes.name(child) == own]
            if not self._sshd.rootless:
                return any(processes.owner(child) == login.admission.uid for child in running)
        except ProcessGoneError:
            return False
        return bool(login.bystanders and running) and login.bystanders.isdisjoint(running)

    def _look_at_clock(self, login: Login) -> None:
        watched = self._watched.get(login.monitor)
        if watched is None:
            return
        if watched.deadline is not None:
            watched.deadline.cancel()
            watched.deadline = None
        deadline = login.admission.deadline
        left = 0.0 if login.cut is not None else None if deadline is None else deadline - self._clock()
        if left is None:
            return
        # Also when it is over: should ending it fail, that is tried again.
        delay = min(LOOK_SECONDS, left) if left > 0 else LOOK_SECONDS
        watched.deadline = asyncio.get_running_loop().call_later(delay, self._look_at_clock, login)
        if left <= 0:
            self.cut(login, "its time is over")

    def _keep(self, login: Login) -> None:
        """Have what has happened stand in the login's file; where that is full it has happened all the same."""
        try:
            self._table.put(login)
        except OSError as error:
            log.critical("the file of login %s cannot be written: %s", login.ref, error.strerror)

    def _forget(self, login: Login) -> None:
        """No login came of an admission, and the monitor lives on; it will have to ask again."""
        self._finish(login)
        self._record(Kind.FORGOTTEN, login)

    def _close(self, login: Login) -> None:
        was_open = login.state is State.OPEN
        self._finish(login)
        left = [one for root in login.session_processes for one in (root, *processes.descendants(root))]
        self._endings.end(left, (), LEFTOVER_SECONDS)
        if was_open and login.opened_at is not None:
            self._record(Kind.LOGIN_CLOSED, login, {"seconds": round(self._clock() - login.opened_at, 3)})
        else:
            self._record(Kind.FORGOTTEN, login)

    def _finish(self, login: Login) -> None:
        self._awaited.discard(login.monitor)
        watched = self._watched.pop(login.monitor, None)
        if watched is not None:
            watched.release()
        login.state = State.CLOSED
        self._table.drop(login)
        closers, login.closers = login.closers, []
        for closer in closers:
            try:
                closer()
            except Exception:
                log.exception("closing what belonged to login %s failed", login.ref)

    def _record(self, kind: Kind, login: Login, more: Fields | None = None) -> None:
        fields: Fields = {**login.facts(), "deadline": login.admission.deadline, "pid": login.monitor.pid}
        fields.update(more or {})
        try:
            self._audit.record(kind, login.ref, **fields)
        except AuditError as error:
            # What happened has happened; it is not for us to undo.
            log.critical("%s", error.message)
