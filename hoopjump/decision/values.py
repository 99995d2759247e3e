"""The values that the decision takes and gives: frozen, without I/O, clock or globals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from hoopjump.decision.reasons import Reason
from hoopjump.decision.token_mark import TokenMark

# One target, never a wildcard: `*` in permitopen opens every host or port (authorized_keys section of sshd(8)).
_FORWARD_TARGET = re.compile(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):([1-9][0-9]{0,4})\Z")
# All of them stand in one line, which the hook bounds.
_FORWARD_TARGETS_LIMIT = 1024

CertAttribute = Literal["principal", "key_id"]
UserAttribute = Literal["email", "subject", "user_id"]
TokenUse = Literal["never", "optional", "required"]


@dataclass(frozen=True, slots=True)
class User:
    """A user of the gateway. ``subject`` is what its REST API calls ``id``; ``user_id`` its internal UUID, if known."""

    subject: str
    email: str
    status: str
    groups: tuple[str, ...] = ()
    name: str = ""
    user_id: str | None = None
    admin: bool = False

    @property
    def active(self) -> bool:
        """Only ``active`` passes at the gateway; ``inactive``, ``invited`` and ``reviewing`` do not."""
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question to the directory: which user has exactly this value in this attribute?"""

    attribute: UserAttribute
    value: str


@dataclass(frozen=True, slots=True)
class Found:
    """The directory knows exactly one user (the best ranked one) for a lookup."""

    user: User


@dataclass(frozen=True, slots=True)
class Missing:
    """The directory is sure that there is no such user."""


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several users of the best rank have the value; the gateway's own choice among them cannot be seen."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The directory could not be asked. ``slow`` tells a missed deadline from a failure; ``detail`` is for the log."""

    detail: str
    slow: bool = False


Answer = Found | Missing | Ambiguous | Unavailable


@dataclass(frozen=True, slots=True)
class Token:
    """A token that came with a login, verified, and in the place where tokens of its issuer count.

    ``user`` is what its user claim says, ``attribute`` the gateway's user attribute to compare that with; it holds
    until ``ends`` (Unix seconds, exclusive, leeway included), unless it is taken back, by its ``mark``.
    """

    issuer: str
    subject: str
    user: str
    attribute: Literal["email", "subject"]
    groups: tuple[str, ...]
    ends: int
    token_id: str | None
    mark: TokenMark


@dataclass(frozen=True, slots=True)
class RefusedToken:
    """A token came with a login, and is refused; ``detail`` is for the log."""

    reason: Reason
    detail: str


Presented = Token | RefusedToken | None


class Access(Enum):
    """What a login gets: everything its certificate permits, an explanation only, or nothing at all."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Accounts:
    """Which login accounts a user may use.

    ``shared`` accounts are everybody's; with ``own`` an account named like the user's e-mail address, the part of it
    before the ``@``, or the subject is theirs; ``map`` adds accounts by e-mail address or subject.
    """

    shared: frozenset[str] = frozenset()
    own: bool = False
    map: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """What an administrator has decided. Key blobs are SSH wire encodings; times are seconds.

    ``forward_targets`` are ``host:port`` or ``[v6]:port`` as a client would ask for them, since sshd compares text;
    :class:`ValueError` for one that could not stand in a principals line. ``session_use`` and ``forward_use`` say
    whether these need a token.
    """

    trusted_cas: frozenset[bytes]
    cert_attribute: CertAttribute
    user_attribute: UserAttribute
    accounts: Accounts
    forward_targets: tuple[str, ...]
    max_login: int
    session_use: TokenUse = "never"
    forward_use: TokenUse = "never"

    @property
    def tokens(self) -> bool:
        """Whether tokens are looked at."""
        return (self.session_use, self.forward_use) != ("never", "never")

    def __post_init__(self) -> None:
        for target in self.forward_targets:
            found = _FORWARD_TARGET.match(target)
            if not found or int(found[2]) > 65535:
                raise ValueError(f"{target!a} is not HOST:PORT")
        if sum(len(target) + len(',permitopen=""') for target in self.forward_targets) > _FORWARD_TARGETS_LIMIT:
            raise ValueError("the forward targets do not fit in a line")


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """What sshd tells about a login attempt: the account's name, and the client's address where it is known."""

    account: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the trace: which rule, whether it held, and the values it looked at."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a login attempt.

    ``line`` is the principals line for sshd (None exactly when ``access`` is DENY); ``deadline`` is in Unix seconds;
    ``identity`` is the certificate's value that resolved to ``user``; ``sentence`` is what the user may be told;
    ``token`` is the certificate's, where it counts.
    """

    access: Access
    reason: Reason
    sentence: str
    trace: tuple[Check, ...]
    line: str | None = None
    deadline: int | None = None
    user: User | None = None
    identity: str | None = None
    token: Token | None = None
