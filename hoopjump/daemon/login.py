"""One login: what was decided about it, and what has become of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from hoopjump.audit.events import Fields
from hoopjump.daemon.processes import Process
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token_mark import TokenMark
from hoopjump.decision.values import Access, User

# None of them may be forgotten while the login goes on: each can be taken back, and the login ends with it.
TOKENS_LIMIT: Final = 100


class State(Enum):
    """How far a login has come."""

    ADMITTED = "admitted"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Admission:
    """What was decided about one certificate on one monitor; ``certificate`` is its wire encoding (RFC 4251 §5).

    ``access`` is ALLOW or HOLD; ``deadline`` is in Unix seconds; ``identity`` is the certificate's value that
    resolved to ``user``; ``source`` is the client's address, where sshd tells it. ``tokens`` have let in the login or
    one of its sessions: the certificate's, and those that sessions have brought.
    """

    account: str
    uid: int
    certificate: bytes
    access: Access
    reason: Reason
    sentence: str
    deadline: int | None = None
    user: User | None = None
    identity: str | None = None
    source: str | None = None
    tokens: tuple[TokenMark, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the certificate, in hexadecimal."""
        return hashlib.sha256(self.certificate).hexdigest()

    def has_room_for(self, token: TokenMark) -> bool:
        """Whether a token is kept already, or one more can be."""
        return token in self.tokens or len(self.tokens) < TOKENS_LIMIT

    def with_token(self, token: TokenMark, ends: int) -> Admission:
        """The same, with a session's own token, which ends at ``ends`` (Unix seconds)."""
        tokens = self.tokens if token in self.tokens else (*self.tokens, token)
        return replace(self, tokens=tokens, deadline=ends if self.deadline is None else min(ends, self.deadline))


@dataclass(slots=True, eq=False)
class Login:
    """One login. ``ref`` is what the user, the log and ``hoopjump logins`` call it; times are Unix seconds.

    ``told_source`` is the client's address as a session of the login told it: to be shown, never to decide by.
    ``cut`` is why it is being ended, None while it is not.
    ``bystanders`` are the monitor's children at admission: the process of the unauthenticated connection and the hook.
    """

    ref: str
    monitor: Process
    admission: Admission
    admitted_at: float
    state: State = State.ADMITTED
    opened_at: float | None = None
    told_source: str | None = None
    cut: Reason | None = None
    bystanders: frozenset[Process] = frozenset()
    session_processes: set[Process] = field(default_factory=set)
    closers: list[Callable[[], None]] = field(default_factory=list)

    @property
    def live(self) -> bool:
        """Whether sessions may still be started: neither closed nor being ended."""
        return self.state is not State.CLOSED and self.cut is None

    def over(self, now: float) -> bool:
        """Whether no session may be started any more at ``now`` (Unix seconds)."""
        deadline = self.admission.deadline
        return not self.live or (deadline is not None and deadline <= now)

    def admitted_with(self, certificate: bytes) -> bool:
        """Whether this very certificate (wire encoding) is the one last admitted on the login's monitor."""
        return self.admission.certificate == certificate

    def facts(self) -> Fields:
        """How the audit trail names it, and whose it is."""
        user = self.admission.user
        return {
            "login": self.ref,
            "account": self.admission.account,
            "user": None if user is None else user.email,
            "subject": None if user is None else user.subject,
            "source": self.admission.source,
        }

    def on_close(self, closer: Callable[[], None]) -> None:
        """Have ``closer`` called, once, when the login closes (agent sockets, files); at once when it has."""
        if self.state is State.CLOSED:
            closer()
        else:
            self.closers.append(closer)
