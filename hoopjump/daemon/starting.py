"""Starting a session that was granted: what of it is gathered first, what its hook becomes, and what the user reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from hoopjump.audit.events import Audit, AuditError, Kind
from hoopjump.config import Config
from hoopjump.daemon import texts
from hoopjump.daemon.clients import Clients, HandedOver
from hoopjump.daemon.gathering import Gathering
from hoopjump.daemon.handover import Handovers, HostKeyUnknownError
from hoopjump.daemon.login import Login
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.running import Outcomes, Running, RunningSessions
from hoopjump.daemon.server import Call
from hoopjump.daemon.threads import Threads
from hoopjump.daemon.wire import Pair
from hoopjump.daemon.wishes import Asked, RefusedError, unavailable
from hoopjump.decision.certificate import Certificate
from hoopjump.decision.reasons import Reason
from hoopjump.decision.request import SessionRequest
from hoopjump.decision.session import Role, SessionVerdict
from hoopjump.decision.values import User
from hoopjump.errors import HoopjumpError
from hoopjump.handoff.hoop_cli import preamble
from hoopjump.handoff.ssh import LoginNameError, epilogue

NOTICE_SECONDS: Final = 0.2
STDIN_WAYS: Final = ("auto", "wait", "none")


class Reach(Protocol):
    """Whether the gateway's SSH server answers (:class:`hoopjump.daemon.reach.Reach`)."""

    def look(self) -> None:
        """Begin to find out."""

    async def fault(self) -> str | None:
        """What is wrong, None when it answers."""


@dataclass(frozen=True, slots=True)
class Granted:
    """All that a session needs to run; ``deadline`` is in Unix seconds."""

    login: Login
    certificate: Certificate
    user: User
    identity: str
    deadline: int
    request: SessionRequest
    role: Role
    verdict: SessionVerdict
    token: bytes | None = field(repr=False)  # to be handed on


@dataclass(frozen=True, slots=True)
class Started:
    """A session that is about to run, and what its hook is told."""

    running: Running
    answer: list[Pair]


class Starting:
    """Starts sessions, and follows those that run."""

    def __init__(
        self,
        config: Config,
        *,
        table: LoginTable,
        clients: Clients,
        reach: Reach,
        outcomes: Outcomes,
        handovers: Handovers,
        threads: Threads,
        audit: Audit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._clients = clients
        self._reach = reach
        self._handovers = handovers
        self._audit = audit
        self._clock = clock
        self._gathering = Gathering()
        self._running = RunningSessions(table, outcomes, threads, audit, clock)

    def spool(self, asked: Asked, granted: Granted) -> list[Pair]:
        """What the hook is to gather first of a session's input."""
        section, wish = self._config.session, asked.wish
        limit = self._gathering.limit(granted.user, asked.call.peer, section.stdin_limit)
        # Without a command the input is all there is to run, so its end is waited for.
        usual = "wait" if granted.request.command is None else section.stdin
        return [
            ("outcome", "spool"),
            ("stdin", wish.stdin if wish.stdin in STDIN_WAYS else usual),
            ("stdin-wait-ms", str(round(section.stdin_wait * 1000))),
            ("stdin-hint-ms", str(round(section.stdin_hint * 1000))),
            ("stdin-limit", str(limit)),
            *([("input", "text")] if granted.token is not None else []),
            *(("notice", line) for line in texts.deadline_notice(granted.deadline, self._clock())),
        ]

    async def start(
        self,
        asked: Asked,
        granted: Granted,
        five_minutes: asyncio.Future[str | None],
        look: Callable[[], Awaitable[None]],
    ) -> Started:
        """Hand a session over; ``five_minutes`` is what the user is told of the gateway's check, once it is known.

        ``look`` raises when what was granted no longer is, after all that others had to be waited for.
        Raises :class:`RefusedError`.
        """
        notices = await self._notices(granted, five_minutes) if granted.verdict.mode == "exec" else []
        await look()
        # From here on nothing is waited for but what we make ourselves.
        login, verdict = granted.login, granted.verdict
        # The directory and the gateway have been asked meanwhile.
        must_go_on(login, self._clock())
        try:
            # As late as can be: a question that is cut short before this is asked once more.
            if asked.wish.again is not None:
                self._handovers.take_back(asked.wish.again)
            handover = await self._open(asked, granted)
        except HostKeyUnknownError as error:
            raise RefusedError(Reason.GATEWAY_HOST_KEY_UNKNOWN, detail=error.message) from error
        except LoginNameError as error:
            raise RefusedError(Reason.IDENTITY_UNUSABLE, detail=error.message) from error
        except (HoopjumpError, OSError) as error:
            raise RefusedError(Reason.INTERNAL, detail=f"no handover: {error}") from error
        running = Running(
            asked.ref,
            login,
            granted.user,
            granted.role,
            verdict.verb or "exec",
            asked.call.peer,
            handover,
            self._clock(),
        )
        buffer = self._running.buffer(granted.user, self._config.session.output_buffer)
        try:
            self._running.begin(running)
            fields = asked.fields()
            fields.update({"verb": running.verb, "way": verdict.mode or "", "deadline": granted.deadline})
            fields["client"] = "ssh" if granted.token is None else "hoop"
            self._audit.record(Kind.SESSION_STARTED, asked.ref, **fields)
        except (AuditError, OSError) as error:
            self._running.abandon(running)
            raise RefusedError(Reason.INTERNAL, detail=f"no session: {error}") from error
        answer: list[Pair] = [("outcome", "exec" if verdict.mode == "exec" else "run")]
        answer += [("argv", word) for word in handover.argv]
        answer += [("env", name + b"=" + value) for name, value in handover.environment.items()]
        if verdict.mode == "exec":
            answer += [("notice", line) for line in notices]
        else:
            answer.append(("handover", handover.name))
            answer.append(("output-buffer", str(buffer)))
            answer += self._manners(granted)
        return Started(running, answer)

    async def run(self, call: Call, started: Started) -> None:
        """Tell the hook what to run, and stay until its exit status is known where the hook tells it."""
        try:
            await call.reply(started.answer)
        except BaseException:
            self._running.end(started.running)
            raise
        if started.answer[0][1] == "run":
            await self._running.status(started.running, call)
        else:
            self._running.follow(started.running)

    def stop(self) -> None:
        """Let go of running sessions; they go on, and end with their logins."""
        self._running.stop()

    async def _notices(self, granted: Granted, five_minutes: asyncio.Future[str | None]) -> list[str]:
        """What is said before a session becomes its client, after which nothing of ours stays that could say it."""
        lines = texts.deadline_notice(granted.deadline, self._clock())
        if granted.token is not None:
            lines = lines or texts.token_notice(granted.deadline)
        elif (fault := await self._reach.fault()) is not None:
            raise unavailable(fault, slow=False)
        await asyncio.wait([five_minutes], timeout=NOTICE_SECONDS)
        found = five_minutes.result() if five_minutes.done() else None
        return [*lines, f"hoopjump: {found}"] if found else lines

    async def _open(self, asked: Asked, granted: Granted) -> HandedOver:
        if granted.token is not None:
            term = asked.wish.term if granted.verdict.terminal else None
            role, verdict = granted.role.name, granted.verdict
            return self._clients.open(role, verdict, token=granted.token, term=term, ref=asked.ref)
        return await self._handovers.open(
            granted.login,
            granted.certificate,
            granted.verdict,
            identity=granted.identity,
            deadline=granted.deadline,
            term=asked.wish.term,
            ref=asked.ref,
            relay=asked.wish.relay,
        )

    def _manners(self, granted: Granted) -> list[Pair]:
        """What the client of a session between two spools wants before its input, and says besides the output."""
        if granted.token is None:
            return [("epilogue", epilogue(self._config.gateway.ssh_host))]
        return [("client", "hoop"), ("preamble", preamble(granted.request.command))]


def must_go_on(login: Login, now: float) -> None:
    """Raise :class:`RefusedError` for a login on which no session may be started any more."""
    if login.over(now):
        raise RefusedError(login.cut or Reason.LOGIN_ENDED)
