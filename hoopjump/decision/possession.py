"""Proof that whoever asks for a certificate holds the private key: a detached signature over one statement.

The statement names the service that is asked, the moment and the token, so that a proof overheard elsewhere, kept for
later or made for another token proves nothing (RFC 9449 section 4.2 has the same fields, for HTTP).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from hoopjump.decision import sshsig
from hoopjump.decision.keys import PublicKey
from hoopjump.decision.moments import moment_text
from hoopjump.decision.reasons import Reason
from hoopjump.decision.wire import FormatError

# No signature for another purpose is one for this (PROTOCOL.sshsig).
NAMESPACE: Final = "hoopjump-ca@hoopjump"
WINDOW: Final = 60

_USER_PRESENT: Final = 0x01  # PROTOCOL.u2f, SSH_SK_USER_PRESENCE_REQD


class ProofError(Exception):
    """The proof does not hold; ``detail`` is for the log."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.code}: {detail}" if detail else reason.code)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Statement:
    """What is signed: ``audience`` is the URL of the service, ``moment`` Unix seconds."""

    audience: str
    moment: int
    token: bytes

    def text(self) -> bytes:
        """The statement as it is signed."""
        digest = hashlib.sha256(self.token).hexdigest()
        return f"hoopjump-ca v1\n{self.audience}\n{self.moment}\n{digest}\n".encode()


def check_proof(proof: bytes, key: PublicKey, statement: Statement, now: float) -> bytes:
    """Whether ``proof`` shows that ``key`` is held by whoever makes the ``statement``; raises :class:`ProofError`.

    Gives what the proof is remembered by: key and statement, since of some signatures anybody can make a second one.
    A FIDO key must have been touched, as sshd asks of it at every login.
    """
    if abs(int(now) - statement.moment) > WINDOW:
        raise ProofError(Reason.PROOF_STALE, f"made at {moment_text(statement.moment)}, now {moment_text(int(now))}")
    try:
        signature = sshsig.read_armored(proof)
    except FormatError as error:
        raise ProofError(Reason.PROOF_MALFORMED, str(error)) from error
    if signature.namespace != NAMESPACE:
        raise ProofError(Reason.PROOF_OTHER_PURPOSE, f"namespace {signature.namespace[:64]!a}")
    if signature.key.blob != key.blob:
        raise ProofError(Reason.PROOF_OTHER_KEY)
    if not sshsig.verify(signature, statement.text()):
        raise ProofError(Reason.PROOF_BAD_SIGNATURE)
    if key.application is not None and not signature.signature.flags & _USER_PRESENT:
        raise ProofError(Reason.PROOF_UNTOUCHED)
    return hashlib.sha256(key.blob + statement.text()).digest()
