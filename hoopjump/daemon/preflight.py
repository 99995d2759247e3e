"""What the gateway would refuse without a word is looked up before a session is handed over.

The calls to the gateway run beside the event loop; how long all of them together may take is the caller's matter.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from hoopjump.daemon import texts
from hoopjump.daemon.threads import Threads
from hoopjump.daemon.wire import Pair
from hoopjump.daemon.wishes import RefusedError, Wish, unavailable
from hoopjump.decision.reasons import Reason, printable
from hoopjump.decision.request import SessionRequest
from hoopjump.decision.session import Role, SessionVerdict, decide_session, unknown_role
from hoopjump.decision.values import User
from hoopjump.gateway.client import GatewayError
from hoopjump.gateway.roles import RoleFound, RoleMissing, RolesUnavailable

SHOWN: Final = 128
KEPT: Final = 1024
WAITING: Final = 256  # questions of one user; anybody can make up names of roles
FRESH_SECONDS: Final = 0.6

T = TypeVar("T")

Found = RoleFound | RoleMissing | RolesUnavailable


class Roles(Protocol):
    """The gateway's resource roles; calls may block."""

    def find(self, name: str, user: User) -> Found:
        """The resource role of this name, if the user may see it."""

    def visible(self, user: User) -> tuple[Role, ...]:
        """All that the user may see; raises :class:`GatewayError`."""

    def approved_until(self, user: User, role: Role) -> float | None:
        """When an approval that runs now ends (Unix seconds); raises :class:`GatewayError`."""


class Preflight:
    """Asks the gateway about resource roles.

    A role that was found is kept for ``cache`` seconds, and stands in where a fresh answer is late.
    """

    def __init__(
        self, roles: Roles, threads: Threads, cache: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._roles = roles
        self._threads = threads
        self._cache = cache
        self._clock = clock
        self._kept: OrderedDict[tuple[str, User], tuple[RoleFound, float]] = OrderedDict()
        self._flights: dict[tuple[str, User], asyncio.Task[Found]] = {}

    async def choose(self, wish: Wish, user: User) -> list[Pair] | str:
        """No role was named: the list to choose from, or the name that was chosen.

        Raises :class:`RefusedError`, without a terminal with the list for standard output.
        """
        roles = await self._ask(user, lambda: self._roles.visible(user))
        lines = texts.role_list(roles)
        if not wish.terminal or not roles:
            raise RefusedError(Reason.ROLE_MISSING, stdout=tuple(lines))
        if wish.choice is None:
            return [("outcome", "choose"), *(("text", line) for line in lines), ("prompt", texts.PROMPT)]
        name = texts.chosen(wish.choice, roles)
        if name is not None:
            return name
        if not wish.choice:
            raise RefusedError(Reason.ROLE_MISSING)
        raise _refused(unknown_role(printable(wish.choice, SHOWN), [role.name for role in roles]))

    async def decide(
        self, request: SessionRequest, name: str, user: User, *, terminal: bool, permit_pty: bool
    ) -> tuple[Role, SessionVerdict]:
        """The resource role and how the session runs; raises :class:`RefusedError`."""
        answer = await self._find(name, user)
        if isinstance(answer, RolesUnavailable):
            raise unavailable(answer.detail, slow=answer.slow)
        if isinstance(answer, RoleMissing):
            raise _refused(unknown_role(name, answer.visible_names))
        role = answer.role
        verdict = decide_session(request, role, terminal=terminal, permit_pty=permit_pty)
        if verdict.reason is Reason.ROLE_REVIEW_REQUIRED:
            approved = await self._ask(user, lambda: self._roles.approved_until(user, role)) is not None
            verdict = decide_session(request, role, terminal=terminal, permit_pty=permit_pty, approved=approved)
        if verdict.mode is None:
            raise _refused(verdict)
        return role, verdict

    async def _find(self, name: str, user: User) -> Found:
        """Who asks while the same is being asked gets that answer: a storm of sessions is one question."""
        kept, end = self._kept.get((name, user), (None, 0.0))
        flight = self._flights.get((name, user))
        if flight is None:
            if sum(1 for _, asker in self._flights if asker == user) >= WAITING:
                if kept is not None and self._clock() < end:
                    return kept
                raise unavailable(f"{WAITING} questions about roles of this user wait already", slow=True)
            flight = asyncio.get_running_loop().create_task(self._ask(user, lambda: self._roles.find(name, user)))
            self._flights[name, user] = flight
            # Kept from the question on, so that an answer that was long under way is not believed for longer.
            until = self._clock() + self._cache
            flight.add_done_callback(lambda done: self._landed((name, user), done, until))
        if kept is not None and self._clock() < end:
            await asyncio.wait([flight], timeout=FRESH_SECONDS)
            if not flight.done():
                return kept
        # Whoever gives up leaves the question to the others.
        return await asyncio.shield(flight)

    def _landed(self, key: tuple[str, User], flight: asyncio.Task[Found], until: float) -> None:
        del self._flights[key]
        # A failure that nobody has waited for is nobody's.
        if flight.cancelled() or flight.exception() is not None:
            return
        answer = flight.result()
        if isinstance(answer, RoleFound):
            self._kept[key] = (answer, until)
            self._kept.move_to_end(key)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        elif isinstance(answer, RoleMissing):
            self._kept.pop(key, None)

    async def _ask(self, user: User, question: Callable[[], T]) -> T:
        try:
            return await self._threads.ask(user.subject, question)
        except GatewayError as error:
            raise unavailable(error.message, slow=error.kind == "slow") from error


def _refused(verdict: SessionVerdict) -> RefusedError:
    return RefusedError(verdict.reason, verdict.sentence, trace=verdict.trace)
