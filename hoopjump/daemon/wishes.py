"""What a session's hook tells, what has become known of it, and how it is refused."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Self

from hoopjump.audit.events import Fields, certificate_facts
from hoopjump.daemon.login import Login
from hoopjump.daemon.server import Call
from hoopjump.daemon.wire import Message
from hoopjump.decision.certificate import Certificate
from hoopjump.decision.reasons import Reason
from hoopjump.decision.values import Check, Token, User


class RefusedError(Exception):
    """No session. ``detail`` is for the log; ``stdout`` goes to the user's standard output."""

    def __init__(
        self,
        reason: Reason,
        sentence: str | None = None,
        *,
        detail: str | None = None,
        trace: tuple[Check, ...] = (),
        stdout: tuple[str, ...] = (),
    ) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.sentence = reason.sentence() if sentence is None else sentence
        self.detail = detail
        self.trace = trace
        self.stdout = stdout


def unavailable(detail: str, *, slow: bool) -> RefusedError:
    """The refusal when the gateway could not be asked."""
    return RefusedError(Reason.GATEWAY_SLOW if slow else Reason.GATEWAY_UNAVAILABLE, detail=detail)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the hook tells of a session; nothing of it is trusted."""

    stage: str
    command: bytes | None
    user_auth: bytes | None
    resource: str | None
    terminal: bool
    term: bytes
    stdin: str
    choice: str | None
    again: str | None
    client: str | None
    relay: bool
    concealed: bool
    token: bytes | None = field(repr=False)

    @classmethod
    def of(cls, message: Message) -> Self:
        """Read a message; raises :class:`WireError` for a key given twice."""
        resource, choice = message.one("resource"), message.one("choice")
        return cls(
            stage=message.text("stage") or "plan",
            command=message.one("command"),
            user_auth=message.one("user-auth"),
            # Undecodable bytes are in no name, so they end as a malformed one.
            resource=None if resource is None else resource.decode("utf-8", "replace"),
            terminal=bool(message.one("tty")),
            term=message.one("term") or b"",
            stdin=(message.one("stdin") or b"").decode("ascii", "replace"),
            choice=None if choice is None else choice.decode("utf-8", "replace").strip(),
            again=message.text("again"),
            client=_client(message.one("connection")),
            relay=message.one("relay") is not None,
            concealed=message.one("concealed") is not None,
            # HOOPJUMP_TOKEN=$(…) is there and empty where what should have printed it has failed.
            token=message.one("token") or None,
        )


def _client(connection: bytes | None) -> str | None:
    """The client's address in SSH_CONNECTION (ssh(1)): the first of its four words."""
    words = (connection or b"").decode("ascii", "replace").split()
    try:
        return str(ipaddress.ip_address(words[0])) if len(words) == 4 else None
    except ValueError:
        return None


@dataclass(slots=True)
class Asked:
    """One call, and what has become known of it so far: a refusal's event tells that much."""

    call: Call
    ref: str
    wish: Wish
    login: Login | None = None
    certificate: Certificate | None = None
    user: User | None = None
    role: str | None = None
    token: Token | None = None

    def fields(self) -> Fields:
        """What an event says of it."""
        fields: Fields = {"uid": self.call.uid, "pid": self.call.peer.pid, "role": self.role}
        if self.login is not None:
            fields.update(self.login.facts())
        if self.user is not None:
            fields.update({"user": self.user.email, "subject": self.user.subject})
        if self.certificate is not None:
            fields["certificate"] = certificate_facts(self.certificate)
        if self.token is not None:
            fields.update({"issuer": self.token.issuer, "token_id": self.token.token_id})
        return fields
