"""The one schema of audit events; every sink writes what stands here.

An event is a moment (RFC 3339, UTC, milliseconds), a kind, a reference that the user, the log and ``hoopjump explain``
share, and some of :class:`Fields`. No field may hold a certificate's blob, a token or a key: only facts about them.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, Protocol, Self, Unpack, cast

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from hoopjump.decision.certificate import Certificate, fingerprint
from hoopjump.decision.values import Check
from hoopjump.errors import HoopjumpError

# The fields that are Unix seconds.
MOMENTS: Final = frozenset({"deadline", "valid_before"})


class AuditError(HoopjumpError):
    """An event could not be written, or a line is not an event."""


class Kind(Enum):
    """What happened. The values stand in files and log searches, so they do not change."""

    ADMITTED = "admitted"  # sshd may accept this certificate (asked once or twice a login); not yet a login
    HELD = "held"  # let in to nothing but an explanation
    DENIED = "denied"
    FORGOTTEN = "forgotten"  # admitted, and no login came of it
    LOGIN_OPENED = "login-opened"
    LOGIN_CUT = "login-cut"  # ended by us: its deadline, an administrator, or its token was taken back
    LOGIN_CLOSED = "login-closed"
    SESSION_STARTED = "session-started"
    SESSION_REFUSED = "session-refused"
    SESSION_ENDED = "session-ended"
    HANDOFF_ISSUED = "handoff-issued"
    HANDOFF_SIGNED = "handoff-signed"
    HANDOFF_REFUSED = "handoff-refused"  # the agent refused to answer or to sign
    CERTIFICATE_ISSUED = "certificate-issued"  # by hoopjump-ca, for a token
    CERTIFICATE_REFUSED = "certificate-refused"
    CALL_REFUSED = "call-refused"  # somebody who may not say this said it
    FAULT = "fault"  # ours: an error that should not be


class CertificateFacts(TypedDict, total=False):
    """A certificate in words. ``serial`` is decimal text: 64 bits are more than JSON numbers carry everywhere."""

    serial: str
    key_id: str
    principals: list[str]
    key: str  # SHA256 fingerprint of the certified key
    ca: str  # SHA256 fingerprint of the authority
    valid_before: int


class TraceLine(TypedDict):
    """One check of a decision, in order."""

    name: str
    passed: bool
    detail: str


class Fields(TypedDict, total=False):
    """Everything an event can say beside its time, kind and reference; ``None`` is as good as absent."""

    login: str  # the login's identifier
    account: str | None
    user: str | None  # e-mail address at the gateway
    subject: str | None
    source: str | None  # client address
    reason: str  # code of a Reason
    sentence: str | None  # what the user was told
    certificate: CertificateFacts | None  # the user's
    issuer: str  # of the token
    token_id: str | None  # its `jti`
    handoff: CertificateFacts  # the one that was minted for the gateway
    role: str | None
    verb: str | None
    way: str  # exec or spool
    client: str  # ssh or hoop
    session: str
    deadline: int | None  # Unix seconds
    trace: list[TraceLine]
    exit: int | None
    seconds: float
    uid: int
    pid: int
    detail: str  # for the log only, never shown to the user


_FIELDS: Final = TypeAdapter(Fields)


def new_reference() -> str:
    """Eight lower-case base32 characters from 40 random bits: short enough to read out, too many to guess."""
    return base64.b32encode(os.urandom(5)).decode().lower()


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    time: str
    kind: Kind
    ref: str
    fields: Fields

    def to_json(self) -> str:
        """One line of JSON without its newline; nothing but printable ASCII, whatever the values hold."""
        row = {"time": self.time, "kind": self.kind.value, "ref": self.ref, **self.fields}
        return escaped(row)

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        """Read a line back; fields of a later version are passed over. Raises :class:`AuditError`."""
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise AuditError("not an audit event")
            head = [row.pop(name) for name in ("time", "kind", "ref")]
            moment, kind, ref = (str(value) for value in head)
            return cls(moment, Kind(kind), ref, _FIELDS.validate_python(row))
        except (ValueError, KeyError, RecursionError, ValidationError) as error:
            raise AuditError("not an audit event") from error


def certificate_facts(certificate: Certificate) -> CertificateFacts:
    """What the audit trail keeps of a certificate."""
    return {
        "serial": str(certificate.serial),
        "key_id": certificate.key_id,
        "principals": list(certificate.principals),
        "key": fingerprint(certificate.public_key),
        "ca": fingerprint(certificate.ca_key),
        "valid_before": certificate.valid_before,
    }


def trace_lines(checks: Iterable[Check]) -> list[TraceLine]:
    """A decision's trace as it stands in an event."""
    return [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in checks]


def escaped(value: object) -> str:
    """JSON of ``value`` in printable ASCII (``json`` alone lets DEL through)."""
    return json.dumps(_storable(value), separators=(",", ":")).replace("\x7f", "\\u007f")


def _storable(value: object) -> object:
    """Undecodable bytes (lone surrogates) become visible ``uDCxx`` escapes, which every JSON reader takes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(key): _storable(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_storable(item) for item in value]
    return value


class Sink(Protocol):
    """Where events go."""

    def write(self, event: Event) -> None:
        """Write one event; raises :class:`OSError`."""

    def complain(self, message: str) -> None:
        """Say that another sink failed; never raises."""


class Audit:
    """Writes each event to every sink.

    A sink that fails is reported to the others at once. An event that no sink took raises :class:`AuditError`, so that
    what it records does not come to pass unseen.
    """

    def __init__(self, sinks: Sequence[Sink], clock: Callable[[], float] = time.time) -> None:
        self._sinks = tuple(sinks)
        self._clock = clock

    def record(self, kind: Kind, ref: str, **fields: Unpack[Fields]) -> Event:
        """Write an event; fields that are ``None`` are left out. Raises :class:`AuditError`."""
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        known = {name: value for name, value in cast("dict[str, Any]", fields).items() if value is not None}
        event = Event(moment, kind, ref, cast("Fields", known))
        failures: list[OSError] = []
        for sink in self._sinks:
            try:
                sink.write(event)
            except OSError as error:
                failures.append(error)
                for other in self._sinks:
                    other.complain(f"audit event {kind.value} ref={ref} was not written: {error}")
        if len(failures) == len(self._sinks):
            raise AuditError(f"no sink took the audit event {kind.value} (ref {ref})")
        return event
