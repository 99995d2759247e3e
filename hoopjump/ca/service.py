"""Answers requests for certificates: judges them in order, issues, and leaves an audit line for each."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from hoopjump.audit.events import Audit, AuditError, Fields, Kind, certificate_facts, new_reference
from hoopjump.ca.authority import Authority
from hoopjump.ca.issuing import Issuing
from hoopjump.ca.limits import Buckets, UsedProofs
from hoopjump.ca.metrics import Metrics
from hoopjump.ca.refusal import RefusedError, http_status
from hoopjump.ca.request import Request, parse_request
from hoopjump.decision.certificate import Certificate
from hoopjump.decision.jose import TokenError
from hoopjump.decision.possession import WINDOW, ProofError, Statement, check_proof
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token import VerifiedToken
from hoopjump.errors import HoopjumpError
from hoopjump.keys.asking import Asking
from hoopjump.keys.keysets import KeySets

# Signing waits for an agent; everybody else's wait in front of these.
SIGNERS: Final = 8
# For so long nobody asks the agent again how it is.
HEALTH_SECONDS: Final = 5.0

log = logging.getLogger("hoopjump.ca")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and the JSON object that goes with it."""

    status: int
    members: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is rationed; ``told`` rations the audit lines about sources that are over their limit."""

    sources: Buckets
    users: Buckets
    told: Buckets
    proofs: UsedProofs


class Service:
    """One hoopjump-ca, without its network. ``url`` is what proofs are made for."""

    def __init__(
        self,
        *,
        url: str,
        keys: KeySets,
        issuing: Issuing,
        authority: Authority,
        limits: Limits,
        audit: Audit,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._asking = Asking(keys, clock)
        self._issuing = issuing
        self._authority = authority
        self._limits = limits
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._signers = ThreadPoolExecutor(SIGNERS, "ca-signer")
        self._looking = asyncio.Lock()
        self._looked = -HEALTH_SECONDS
        self._unwell: str | None = None

    def stop(self) -> None:
        """Wait for nobody any more."""
        self._signers.shutdown(wait=False, cancel_futures=True)
        self._asking.stop()

    def admit(self, source: str) -> Answer | None:
        """The refusal of a source that has asked too often, None for all others; ``source`` is a neighbourhood."""
        if self._limits.sources.take(source):
            return None
        reason, ref = Reason.TOO_MANY_REQUESTS, new_reference()
        if self._limits.told.take(source):
            return self.refuse(RefusedError(reason, "this source; further refusals are not told for a minute"), source)
        self._metrics.refused(reason)
        return _refusal(reason, ref)

    def refuse(self, error: RefusedError, source: str) -> Answer:
        """The answer to what is no request that could be judged."""
        return self._refused(error.reason, error.detail, new_reference(), {"source": source})

    async def certify(self, body: bytes, source: str) -> Answer:
        """The answer to one request."""
        ref = new_reference()
        known: Fields = {"source": source}
        started = time.monotonic()
        try:
            request = parse_request(body)
            now = self._clock()
            verified = await self._asking.verify(request.token)
            told: Fields = {"user": verified.user, "subject": verified.subject}
            known = {**known, **told, "issuer": verified.issuer, "token_id": verified.token_id}
            certificate = await self._issue(request, verified, now)
            issued: Fields = {**known, "certificate": certificate_facts(certificate)}
            self._audit.record(Kind.CERTIFICATE_ISSUED, ref, **issued)
        except (RefusedError, TokenError, ProofError) as error:
            return self._refused(error.reason, error.detail, ref, known)
        except HoopjumpError as error:
            return self._refused(Reason.CA_UNAVAILABLE, error.message, ref, known)
        except Exception:
            log.exception("no certificate was issued, ref=%s", ref)
            return self._refused(Reason.CA_UNAVAILABLE, "an error of ours; the log has it", ref, known)
        self._metrics.issued(time.monotonic() - started, embedded=request.embed)
        return Answer(
            200,
            {
                "certificate": f"{certificate.key_type} {base64.b64encode(certificate.blob).decode()}",
                "valid_before": certificate.valid_before,
                "principals": list(certificate.principals),
                "serial": certificate.serial,
            },
        )

    async def _issue(self, request: Request, verified: VerifiedToken, now: float) -> Certificate:
        statement = Statement(self._url, request.moment, request.token)
        proof = check_proof(request.proof, request.key, statement, now)
        # Nobody uses up what somebody else may ask for, by sending their request again.
        self._limits.proofs.refuse(proof, now)
        if not self._limits.users.take(f"{verified.issuer} {verified.user}"):
            raise RefusedError(Reason.TOO_MANY_REQUESTS, "this user")
        self._limits.proofs.use(proof, request.moment, now, WINDOW)
        spec = self._issuing.specify(verified, request.key, now, embed=request.embed)
        return await asyncio.get_running_loop().run_in_executor(self._signers, self._issuing.issue, spec)

    def _refused(self, reason: Reason, detail: str, ref: str, known: Fields) -> Answer:
        self._metrics.refused(reason)
        told: Fields = {**known, "reason": reason.code, "sentence": reason.sentence()}
        if detail:
            told["detail"] = detail
        try:
            self._audit.record(Kind.CERTIFICATE_REFUSED, ref, **told)
        except AuditError as error:
            log.critical("%s", error.message)
        return _refusal(reason, ref)

    async def unwell(self) -> str | None:
        """Why no certificate could be issued just now, None when all is well."""
        async with self._looking:
            if time.monotonic() - self._looked >= HEALTH_SECONDS:
                self._unwell = await asyncio.get_running_loop().run_in_executor(self._signers, self._look)
                self._looked = time.monotonic()
        return self._unwell

    def _look(self) -> str | None:
        try:
            self._authority.check()
        except HoopjumpError as error:
            log.warning("not well: %s", error.message)
            return "the CA key cannot be used"
        return None


def _refusal(reason: Reason, ref: str) -> Answer:
    return Answer(http_status(reason), {"reason": reason.code, "sentence": reason.sentence(), "ref": ref})
