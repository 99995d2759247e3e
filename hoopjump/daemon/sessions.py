"""The verb ``session``: a process below sshd, started by ForceCommand, asks what it shall become.

Every session is decided afresh: which login it belongs to, whether that login may still go on, whether its user may
use the resource role it names. Only the user waits for that, who would have to try again else; so a busy gateway has
longer here than at the login, yet all has to be over before the hook's own time is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from hoopjump.audit.events import Audit, AuditError, Kind, new_reference, trace_lines
from hoopjump.config import Config
from hoopjump.daemon import texts
from hoopjump.daemon.clients import Clients
from hoopjump.daemon.door import Pace
from hoopjump.daemon.handover import Handovers
from hoopjump.daemon.login import Login
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.preflight import Preflight
from hoopjump.daemon.processes import ProcessGoneError
from hoopjump.daemon.running import LOST, Outcomes
from hoopjump.daemon.server import Call
from hoopjump.daemon.starting import Granted, Reach, Started, Starting, must_go_on
from hoopjump.daemon.threads import Threads
from hoopjump.daemon.tokens import Tokens
from hoopjump.daemon.wire import Pair
from hoopjump.daemon.wishes import Asked, RefusedError, Wish
from hoopjump.decision.certificate import Certificate, CertificateError, read_certificate
from hoopjump.decision.presented import session_token_rules
from hoopjump.decision.reasons import Reason
from hoopjump.decision.request import RequestError, SessionRequest, read_request, tool_of
from hoopjump.decision.rules import first_failed
from hoopjump.decision.values import Access, LoginRequest, Presented, RefusedToken, Token, User, Verdict

ANSWER_SECONDS: Final = 8.0  # of the 10 that the hook waits
WHO_SECONDS: Final = 6.0  # of these, until it is known who asks; what is late has its own reason then
# Anybody may ask; what is no login's fills the audit trail no faster than this (LoginTable.crowd).
STRANGERS_AT_ONCE: Final = 20.0
STRANGERS_PER_SECOND: Final = 0.2

log = logging.getLogger(__name__)

Judge = Callable[[LoginRequest, Certificate, float], Awaitable[Verdict]]


class Watcher(Protocol):
    """Learns that a login is real."""

    def open(self, login: Login) -> None:
        """A session of the login has called."""

    def bind(self, login: Login, token: Token) -> None:
        """Have a login end with a token, where it would end later."""


class Sessions:
    """Answers sessions, and follows those that run.

    ``judge`` decides a login attempt as it stands now, in so many seconds (:meth:`Principals.judge`).
    """

    def __init__(
        self,
        config: Config,
        *,
        table: LoginTable,
        watch: Watcher,
        judge: Judge,
        reach: Reach,
        preflight: Preflight,
        outcomes: Outcomes,
        handovers: Handovers,
        threads: Threads,
        audit: Audit,
        tokens: Tokens | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._tokens = tokens
        self._table = table
        self._watch = watch
        self._judge = judge
        self._reach = reach
        self._preflight = preflight
        self._outcomes = outcomes
        self._handovers = handovers
        self._clients = Clients(config)
        self._threads = threads
        self._audit = audit
        self._clock = clock
        self._strangers = Pace(STRANGERS_PER_SECOND, STRANGERS_AT_ONCE)
        self._starting = Starting(
            config,
            table=table,
            clients=self._clients,
            reach=reach,
            outcomes=outcomes,
            handovers=handovers,
            threads=threads,
            audit=audit,
            clock=clock,
        )

    async def handle(self, call: Call) -> None:
        """Answer one session; stays until its exit status is known where the hook tells it."""
        asked = Asked(call, new_reference(), Wish.of(call.message))
        try:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    answer = await self._answer(asked)
            except TimeoutError:
                raise RefusedError(Reason.GATEWAY_SLOW, detail=f"not decided within {ANSWER_SECONDS:g} s") from None
        except RefusedError as refused:
            await self._refuse(asked, refused)
            return
        if isinstance(answer, Started):
            await self._starting.run(call, answer)
        else:
            await call.reply(answer)

    def stop(self) -> None:
        """Let go of running sessions; they go on, and end with their logins."""
        self._starting.stop()

    async def _answer(self, asked: Asked) -> list[Pair] | Started:
        login = self._login(asked)
        certificate = _certificate(asked, login)
        if asked.wish.again is not None and not self._handovers.unused(login, asked.wish.again):
            text = texts.status_unknown(asked.ref)
            return [("outcome", "exit"), ("exit", str(LOST)), *(("text", line) for line in text)]
        self._reach.look()
        # The user may have been deactivated since the login, the certificate may have ended.
        attempt = LoginRequest(login.admission.account, login.admission.source)
        verdict, token = await asyncio.gather(
            self._judge(attempt, certificate, WHO_SECONDS), self._environment(asked.wish, WHO_SECONDS)
        )
        if verdict.access is not Access.ALLOW or verdict.user is None or verdict.identity is None:
            raise RefusedError(verdict.reason, verdict.sentence, trace=verdict.trace)
        # It may have ended meanwhile, or its key have been dropped; its end becomes the login's.
        token = await self._environment(asked.wish, 0)
        asked.token = self._check_token(login, verdict, token, verdict.user)
        asked.user = user = verdict.user
        request = _request(asked, login, self._config.handoff.sftp_server)
        if request.role is None:
            chosen = await self._preflight.choose(asked.wish, user)
            if not isinstance(chosen, str):
                return chosen
            request = SessionRequest(chosen, named_by="command")
        asked.role = name = request.role or ""
        terminal = asked.wish.terminal
        notice = asyncio.ensure_future(self._five_minutes(user, terminal=terminal))
        try:
            role, session = await self._preflight.decide(
                request, name, user, terminal=terminal, permit_pty=certificate.permits("permit-pty")
            )
            deadline = min(one for one in (login.admission.deadline, verdict.deadline) if one is not None)
            hoop = self._clients.is_hoop(name)
            own = self._clients.token(asked.wish, token, role, request, session, user=user) if hoop else None
            granted = Granted(login, certificate, user, verdict.identity, deadline, request, role, session, own)

            async def look() -> None:
                await self._look_again(asked, certificate, embedded=verdict.token is not None)

            if session.mode == "spool" and asked.wish.stage != "run":
                await look()
                return self._starting.spool(asked, granted)
            return await self._starting.start(asked, granted, notice, look)
        finally:
            notice.cancel()

    def _login(self, asked: Asked) -> Login:
        """The login that the peer belongs to: an admitted monitor is above it, and it runs as that account."""
        login = self._table.above(asked.call.peer)
        if login is None:
            raise RefusedError(Reason.LOGIN_UNKNOWN, detail="no admitted monitor above the peer")
        if login.admission.uid != asked.call.uid:
            raise RefusedError(Reason.LOGIN_UNKNOWN, detail=f"below login {login.ref}, but of another uid")
        asked.login = login
        must_go_on(login, self._clock())
        if login.told_source is None:
            login.told_source = asked.wish.client
        self._watch.open(login)
        return login

    async def _look_again(self, asked: Asked, certificate: Certificate, *, embedded: bool) -> None:
        """Nothing is started for who has gone meanwhile, nor by a token that no longer counts.

        ``embedded``: the certificate's token counted when the login was judged.
        """
        if asked.call.peer_ended:
            raise ProcessGoneError(asked.call.peer.pid)
        found = [await self._environment(asked.wish, 0)]
        if embedded and self._tokens is not None:
            found.append(await self._tokens.embedded(certificate, 0))
        for token in found:
            if isinstance(token, RefusedToken):
                raise RefusedError(token.reason, detail=token.detail)

    async def _environment(self, wish: Wish, seconds: float) -> Presented:
        """The session's own token, where such are looked at; a provider has so many seconds."""
        if self._tokens is None or self._config.tokens.session == "never":
            return None
        return await self._tokens.environment(wish.token, seconds)

    def _check_token(self, login: Login, verdict: Verdict, token: Presented, user: User) -> Token | None:
        """The token that lets the session in, its own before the certificate's; its end is the login's as well."""
        rules = session_token_rules(self._config.tokens.session, verdict.token, token, user)
        failed = first_failed(rules)
        if failed is not None:
            trace = (*verdict.trace, *(item.check for item in rules))
            raise RefusedError(failed.reason, failed.sentence, detail=failed.check.detail, trace=trace)
        if not isinstance(token, Token):
            return verdict.token
        if not login.admission.has_room_for(token.mark):
            raise RefusedError(Reason.TOKEN_TOO_MANY, detail=f"{len(login.admission.tokens)} are kept of this login")
        self._watch.bind(login, token)
        return token

    async def _five_minutes(self, user: User, *, terminal: bool) -> str | None:
        """Only sessions on a terminal are long enough for the question to be worth its while."""
        if not terminal:
            return None
        return await self._threads.ask(user.subject, lambda: self._outcomes.five_minute_notice(user))

    async def _refuse(self, asked: Asked, refused: RefusedError) -> None:
        fields = asked.fields()
        fields.update({"reason": refused.reason.code, "sentence": refused.sentence})
        if refused.detail is not None:
            fields["detail"] = refused.detail
        if refused.trace:
            fields["trace"] = trace_lines(refused.trace)
        # Nothing is let through here, so a trail that cannot be written is only complained of.
        if asked.login is not None or self._strangers.take(self._table.crowd(asked.call.uid)):
            with contextlib.suppress(AuditError):
                self._audit.record(Kind.SESSION_REFUSED, asked.ref, **fields)
        await asked.call.reply(
            [
                ("outcome", "refuse"),
                ("exit", str(refused.reason.value.exit_status)),
                ("reason", refused.reason.code),
                ("ref", asked.ref),
                *(("stdout", line) for line in refused.stdout),
                *(("text", line) for line in texts.refusal(refused.reason, refused.sentence, asked.ref)),
                # The command of sshd's sftp subsystem, whose standard error nobody reads.
                *([("sftp", str(texts.sftp_status(refused.reason)))] if tool_of(asked.wish.command) == "sftp" else []),
            ]
        )


def _certificate(asked: Asked, login: Login) -> Certificate:
    """SSH_USER_AUTH (sshd_config(5) ExposeAuthInfo) names one public key: the certificate last admitted here."""
    if asked.wish.user_auth is None:
        raise RefusedError(Reason.LOGIN_MISMATCH, detail="no SSH_USER_AUTH; is ExposeAuthInfo on?")
    keys = [line for line in asked.wish.user_auth.splitlines() if line.split(b" ")[0] == b"publickey"]
    if len(keys) != 1:
        raise RefusedError(Reason.LOGIN_MISMATCH, detail=f"SSH_USER_AUTH names {len(keys)} public keys")
    try:
        certificate = read_certificate(keys[0].removeprefix(b"publickey "))
    except CertificateError as error:
        raise RefusedError(Reason.LOGIN_MISMATCH, detail=f"SSH_USER_AUTH: {error}") from error
    if not login.admitted_with(certificate.blob):
        raise RefusedError(Reason.LOGIN_MISMATCH, detail="SSH_USER_AUTH names another certificate")
    asked.certificate = certificate
    return certificate


def _request(asked: Asked, login: Login, sftp_server: str) -> SessionRequest:
    try:
        return read_request(login.admission.account, asked.wish.resource, asked.wish.command, sftp_server)
    except RequestError as error:
        raise RefusedError(error.reason, error.sentence) from error
