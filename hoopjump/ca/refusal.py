"""A request for a certificate is refused, and what HTTP calls that."""

from __future__ import annotations

from typing import Final

from hoopjump.decision.reasons import Reason

_STATUS: Final = {
    400: (
        Reason.REQUEST_MALFORMED,
        Reason.REQUEST_TOO_LARGE,
        Reason.PUBLIC_KEY_MALFORMED,
        Reason.PUBLIC_KEY_CERTIFICATE,
        Reason.PROOF_MALFORMED,
        Reason.EMBEDDING_OFF,
    ),
    403: (
        Reason.PUBLIC_KEY_WEAK,
        Reason.PROOF_STALE,
        Reason.PROOF_OTHER_KEY,
        Reason.PROOF_OTHER_PURPOSE,
        Reason.PROOF_BAD_SIGNATURE,
        Reason.PROOF_UNTOUCHED,
        Reason.PROOF_REPLAYED,
        Reason.USER_NOT_PRINCIPAL,
    ),
    429: (Reason.TOO_MANY_REQUESTS,),
    503: (Reason.CA_UNAVAILABLE, Reason.TOKEN_KEYS_UNAVAILABLE),
}
_STATUS_OF: Final = {reason: status for status, reasons in _STATUS.items() for reason in reasons}


class RefusedError(Exception):
    """No certificate; ``detail`` is for the log."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.code}: {detail}" if detail else reason.code)
        self.reason = reason
        self.detail = detail


def http_status(reason: Reason) -> int:
    """The status of a refusal; all that is wrong with a token is 401."""
    return _STATUS_OF.get(reason, 401)
