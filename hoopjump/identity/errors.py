"""What can go wrong while somebody logs in."""

from __future__ import annotations

from hoopjump.errors import HoopjumpError


class IdentityError(HoopjumpError):
    """A login did not come about. ``code`` is stable, for scripts; no token, code or secret is in any text.

    Codes: ``provider-unreachable``, ``ca-unreachable``, ``provider-tls``, ``ca-tls``,
    ``provider-malformed`` (an answer that means nothing),
    ``provider-refused`` (an error of OAuth), ``provider-unfit`` (it cannot do what is needed), ``answer-forged`` (what
    came back belongs to another login or another provider), ``token-refused``, ``login-late``, ``login-needed``,
    ``ca-refused``, ``ca-malformed``, ``key-unusable``, ``agent-unusable``, ``store-unsafe``, ``store-locked``,
    ``config-unsafe``, ``file-unusable``.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code
