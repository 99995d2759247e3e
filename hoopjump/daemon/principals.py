"""The verb ``principals``: sshd asks, by its hook, whether a certificate may log in to an account.

Asked once or twice a login and before anybody has proven to have the key, so an answer admits and no more.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable
from typing import Final

from hoopjump.audit.events import Audit, AuditError, Fields, Kind, certificate_facts, new_reference, trace_lines
from hoopjump.daemon import processes
from hoopjump.daemon.accounts import AccountUids
from hoopjump.daemon.login import Admission, State
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.lookups import Lookups
from hoopjump.daemon.policy import PolicySource
from hoopjump.daemon.processes import Process, ProcessGoneError
from hoopjump.daemon.server import Call
from hoopjump.daemon.tokens import Tokens
from hoopjump.daemon.watch import Watch
from hoopjump.daemon.wire import Message, WireError
from hoopjump.decision.certificate import Certificate, CertificateError, read_certificate
from hoopjump.decision.decide import decide, wanted_lookups, wants_token
from hoopjump.decision.reasons import Reason
from hoopjump.decision.values import Access, LoginRequest, Verdict

PLACE: Final = "token-certificate"
ANSWER_SECONDS: Final = 1.3  # of the 2 that the hook waits

log = logging.getLogger(__name__)


class Principals:
    """Answers sshd's question, and takes note of what was admitted on which monitor."""

    def __init__(
        self,
        policy: PolicySource,
        lookups: Lookups,
        table: LoginTable,
        watch: Watch,
        audit: Audit,
        *,
        rootless: bool,
        tokens: Tokens | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._tokens = tokens
        self._lookups = lookups
        self._table = table
        self._watch = watch
        self._audit = audit
        self._rootless = rootless
        self._clock = clock
        self._accounts = AccountUids()

    async def handle(self, call: Call) -> None:
        """Answer with a line or a denial."""
        monitor = self._monitor(call)
        if monitor is None:
            ref = new_reference()
            self._audit.record(Kind.CALL_REFUSED, ref, uid=call.uid, pid=call.peer.pid, detail="not started by sshd")
            await call.refuse(Reason.PEER_NOT_ALLOWED, ref)
            return
        request = _request(call.message)
        certificate = _certificate(call.message)
        uid = self._allowed(self._accounts.known(request.account))
        if uid is None:
            verdict, uid = await asyncio.gather(
                self.judge(request, certificate, ANSWER_SECONDS), self._uid(request.account)
            )
        else:
            # The usual case, without tasks: sshd stretches its answer, so a millisecond here can cost the user twenty.
            verdict = await self.judge(request, certificate, ANSWER_SECONDS)
        fields = _fields(call, request, certificate, verdict)
        if (fault := _token_fault(verdict) or _restriction(verdict)) is not None:
            fields["detail"] = fault
        if verdict.token is not None:
            fields.update({"issuer": verdict.token.issuer, "token_id": verdict.token.token_id})
        if verdict.access is Access.DENY or isinstance(certificate, CertificateError):
            await self._deny(call, verdict.reason, verdict.sentence, fields)
        elif uid is None:
            fields["detail"] = "no such account, an account of uid 0, or the account database did not answer"
            reason = Reason.ACCOUNT_NOT_ALLOWED
            await self._deny(call, reason, reason.sentence(account=request.account), fields)
        elif call.peer_ended:
            # sshd waits for its hook, so it has gone on without us, perhaps to another certificate.
            log.warning("an answer came too late: hook %d has ended, nothing is admitted", call.peer.pid)
        else:
            admission = Admission(
                account=request.account,
                uid=uid,
                certificate=certificate.blob,
                access=verdict.access,
                reason=verdict.reason,
                sentence=verdict.sentence,
                deadline=verdict.deadline,
                user=verdict.user,
                identity=verdict.identity,
                source=request.source,
                tokens=() if verdict.token is None else (verdict.token.mark,),
            )
            if not self._admit(call, monitor, admission, fields):
                raise ProcessGoneError(monitor.pid)
            await call.reply([("outcome", "line"), ("line", verdict.line or "")])

    async def judge(
        self, request: LoginRequest, certificate: Certificate | CertificateError, seconds: float
    ) -> Verdict:
        """Decide a login attempt as it stands now, without consequences; nobody is waited for longer than that."""
        policy = self._policy.current()
        if not isinstance(certificate, Certificate):
            return decide(request, certificate, {}, policy, int(self._clock()))
        asking = self._lookups.answers(wanted_lookups(certificate, policy), certificate.valid_before, seconds)
        if self._tokens is None or not wants_token(certificate, policy):
            return decide(request, certificate, await asking, policy, int(self._clock()))
        answers, embedded = await asyncio.gather(asking, self._tokens.embedded(certificate, seconds))
        return decide(request, certificate, answers, policy, int(self._clock()), embedded)

    def _monitor(self, call: Call) -> Process | None:
        """The hook's parent, which is sshd's monitor (misc.c subprocess forks it there); it belongs to root.

        A hook whose monitor was killed has a parent of root's as well, the first process, and that must never be taken
        for a login: all processes are below it, and would be ended with it. The monitor's session has only its own.
        """
        monitor = processes.parent(call.peer)
        if monitor is None or monitor.pid == 1 or not processes.same_session(call.peer, monitor):
            return None
        return monitor if self._rootless or processes.owner(monitor) == 0 else None

    async def _uid(self, account: str) -> int | None:
        return self._allowed(await self._accounts.uid(account))

    def _allowed(self, uid: int | None) -> int | None:
        """A uid that logins may have, which root's is not."""
        return uid if uid != 0 or self._rootless else None

    def _admit(self, call: Call, monitor: Process, admission: Admission, fields: Fields) -> bool:
        """Take note of an admission, and whether its end can be watched: a login that nobody would cut is none."""
        bystanders = frozenset(processes.children(monitor)) - {call.peer} if self._rootless else frozenset()
        login, news = self._table.admit(monitor, admission, self._clock(), bystanders)
        if news:
            fields["login"] = login.ref
            kind = Kind.ADMITTED if admission.access is Access.ALLOW else Kind.HELD
            try:
                self._audit.record(kind, login.ref, **fields)
            except AuditError:
                self._table.drop(login)
                raise
        self._watch.follow(login)
        return login.state is not State.CLOSED

    async def _deny(self, call: Call, reason: Reason, sentence: str, fields: Fields) -> None:
        ref = new_reference()
        fields["reason"], fields["sentence"] = reason.code, sentence
        self._audit.record(Kind.DENIED, ref, **fields)
        await call.refuse(reason, ref, sentence)


def _request(message: Message) -> LoginRequest:
    account = message.text("account")
    if not account:
        raise WireError("account is missing")
    return LoginRequest(account, source_address(message.text("connection")))


def _certificate(message: Message) -> Certificate | CertificateError:
    text = message.one("certificate")
    if text is None:
        raise WireError("certificate is missing")
    try:
        return read_certificate(text)
    except CertificateError as error:
        return error


def source_address(connection: str | None) -> str | None:
    """The client's address in sshd's ``%C``, None where it is not known.

    auth2-pubkey.c user_key_allowed writes server and client, "address port" each, in that order; the man page has it
    the other way round.
    """
    words = (connection or "").split()
    try:
        return str(ipaddress.ip_address(words[2])) if len(words) == 4 else None
    except ValueError:
        return None


def _token_fault(verdict: Verdict) -> str | None:
    """What is wrong with the certificate's token, where that decided: both names, when they differ."""
    if not verdict.reason.name.startswith("TOKEN_"):
        return None
    return next((check.detail for check in verdict.trace if not check.passed and check.name.startswith(PLACE)), None)


def _restriction(verdict: Verdict) -> str | None:
    """What somebody who is let in does not get, though the certificate permits it."""
    lacking = any(check.name == "token-forward" and not check.passed for check in verdict.trace)
    code = Reason.TOKEN_REQUIRED.code
    return f"without forwards ({code})" if lacking and verdict.access is Access.ALLOW else None


def _fields(call: Call, request: LoginRequest, certificate: Certificate | CertificateError, verdict: Verdict) -> Fields:
    user = verdict.user
    return {
        "account": request.account,
        "user": None if user is None else user.email,
        "subject": None if user is None else user.subject,
        "source": request.source,
        "reason": verdict.reason.code,
        "sentence": verdict.sentence,
        "certificate": None if isinstance(certificate, CertificateError) else certificate_facts(certificate),
        "deadline": verdict.deadline,
        "trace": trace_lines(verdict.trace),
        "pid": call.peer.pid,
    }
