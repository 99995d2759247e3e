"""The logins of this bastion: who was admitted on which sshd monitor, and what has become of it.

A login is keyed by its monitor, the root-owned sshd process of the connection, as (pid, start time): nothing a user can
forge. It is *admitted* when sshd's hook asks about a certificate, *open* when sshd runs something as the account, and
*closed* when the monitor ends. The hook asks once or twice a login and once for every certificate that a client
offers, so the last admission on a monitor is the one that counts.

Every login is one JSON file in the state directory, so that a restarted daemon goes on where the last one stopped.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

from hoopjump.audit.events import new_reference
from hoopjump.daemon import processes
from hoopjump.daemon.processes import Process, ProcessGoneError
from hoopjump.decision.reasons import Reason
from hoopjump.decision.values import Access, User

FORMAT: Final = 1
STRANGERS: Final = -1  # no uid


class State(Enum):
    """How far a login has come."""

    ADMITTED = "admitted"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Admission:
    """What was decided about one certificate on one monitor; ``certificate`` is its wire encoding (RFC 4251 §5).

    ``access`` is ALLOW or HOLD; ``deadline`` is in Unix seconds; ``identity`` is the certificate's value that
    resolved to ``user``; ``source`` is the client's address, where sshd tells it.
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

    @property
    def digest(self) -> str:
        """SHA-256 of the certificate, in hexadecimal."""
        return hashlib.sha256(self.certificate).hexdigest()


@dataclass(slots=True, eq=False)
class Login:
    """One login. ``ref`` is what the user, the log and ``hoopjump logins`` call it; times are Unix seconds.

    ``told_source`` is the client's address as a session of the login told it: to be shown, never to decide by.
    ``bystanders`` are the monitor's children at admission: the process of the unauthenticated connection and the hook.
    """

    ref: str
    monitor: Process
    admission: Admission
    admitted_at: float
    state: State = State.ADMITTED
    opened_at: float | None = None
    told_source: str | None = None
    cut: bool = False
    bystanders: frozenset[Process] = frozenset()
    session_processes: set[Process] = field(default_factory=set)
    closers: list[Callable[[], None]] = field(default_factory=list)

    @property
    def live(self) -> bool:
        """Whether sessions may still be started: neither closed nor being ended."""
        return self.state is not State.CLOSED and not self.cut

    def admitted_with(self, certificate: bytes) -> bool:
        """Whether this very certificate (wire encoding) is the one last admitted on the login's monitor."""
        return self.admission.certificate == certificate

    def on_close(self, closer: Callable[[], None]) -> None:
        """Have ``closer`` called, once, when the login closes (agent sockets, files); at once when it has."""
        if self.state is State.CLOSED:
            closer()
        else:
            self.closers.append(closer)


class LoginTable:
    """All logins, in memory and in ``directory`` (made when missing; 0700, one 0600 file a login)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._logins: dict[Process, Login] = {}
        self._uids: frozenset[int] | None = None
        self._boot = processes.boot_id()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self._logins)

    def __iter__(self) -> Iterator[Login]:
        return iter(list(self._logins.values()))

    def get(self, ref: str) -> Login | None:
        """The login with a reference."""
        return next((login for login in self._logins.values() if login.ref == ref), None)

    def on(self, monitor: Process) -> Login | None:
        """The login of a monitor."""
        return self._logins.get(monitor)

    def above(self, process: Process) -> Login | None:
        """The login whose monitor is the nearest admitted ancestor of a process, None when there is none.

        A process that ends while it is looked at belongs to no login.
        """
        try:
            return next((self._logins[one] for one in processes.ancestors(process) if one in self._logins), None)
        except ProcessGoneError:
            return None

    def user_of(self, process: Process, uid: int) -> str | None:
        """The subject of the user (else the reference of the login) to whom a process of this uid belongs, if any.

        Users may share an account and so a uid. Strangers, who could be many and deep, are not searched for.
        """
        if uid not in self._accounts():
            return None
        login = self.above(process)
        if login is None or login.admission.uid != uid:
            return None
        return login.admission.user.subject if login.admission.user else login.ref

    def crowd(self, uid: int) -> int:
        """Whom a uid is counted with: nobody else where its account has a login, otherwise all of whom that is not so.

        One person may have tens of thousands of uids (subuid(5)).
        """
        return uid if uid in self._accounts() else STRANGERS

    def admit(
        self, monitor: Process, admission: Admission, now: float, bystanders: frozenset[Process]
    ) -> tuple[Login, bool]:
        """Take note of an admission, which replaces any earlier one on its monitor; tells whether it says anything new.

        The same answer for the same certificate keeps its reference: sshd asks twice. A login that was taken to be open
        awaits its opening again, for sshd would not ask if authentication were over. Raises :class:`OSError`.
        """
        login = self._logins.get(monitor)
        if login is None:
            login = Login(new_reference(), monitor, admission, now)
            news = True
        else:
            before = login.admission
            news = (before.certificate, before.account, before.access, before.reason, before.user) != (
                admission.certificate,
                admission.account,
                admission.access,
                admission.reason,
                admission.user,
            )
            login.ref = new_reference() if news else login.ref
            login.admission = admission
            self._uids = None
        changed = news or login.state is not State.ADMITTED or login.bystanders != bystanders
        login.admitted_at = now
        login.state = State.ADMITTED
        login.opened_at = None
        login.bystanders = bystanders
        if changed:
            self.put(login)
        return login, news

    def put(self, login: Login) -> None:
        """Keep a login, new or changed; raises :class:`OSError` when its file cannot be written."""
        self._write(login)
        self._logins[login.monitor] = login
        self._uids = None

    def add_session_process(self, login: Login, process: Process) -> None:
        """Remember a process of one of the login's sessions; it is ended with the login, with all below it."""
        login.session_processes = {one for one in login.session_processes if processes.alive(one)} | {process}
        self._write(login)

    def remove_session_process(self, login: Login, process: Process) -> None:
        """Forget a process of a session that has ended in good order."""
        login.session_processes.discard(process)
        if login.state is not State.CLOSED:
            self._write(login)

    def drop(self, login: Login) -> None:
        """Forget a login and its file."""
        self._logins.pop(login.monitor, None)
        self._uids = None
        self._path(login.monitor).unlink(missing_ok=True)

    def load(self) -> list[str]:
        """Read what an earlier daemon left; gives a sentence for each file that had to be thrown away.

        Logins of an earlier boot are forgotten: pids and start times mean nothing beyond it.
        """
        complaints = []
        for path in sorted(self._directory.iterdir()):
            try:
                login = self._read(path)
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                complaints.append(f"{path.name}: {type(error).__name__}: {error}")
                login = None
            if login is None:
                path.unlink(missing_ok=True)
            else:
                self._logins[login.monitor] = login
                self._uids = None
        return complaints

    def _accounts(self) -> frozenset[int]:
        if self._uids is None:
            self._uids = frozenset(login.admission.uid for login in self._logins.values())
        return self._uids

    def _read(self, path: Path) -> Login | None:
        if path.suffix != ".json":
            return None
        row = json.loads(path.read_bytes())
        if row["format"] != FORMAT:
            raise ValueError("unknown format")
        return _from_row(row) if row["boot"] == self._boot else None

    def _path(self, monitor: Process) -> Path:
        return self._directory / f"{monitor.pid}-{monitor.start}.json"

    def _write(self, login: Login) -> None:
        path = self._path(login.monitor)
        fresh = path.with_suffix(".new")
        data = json.dumps({"format": FORMAT, "boot": self._boot, **_to_row(login)}).encode()
        try:
            # Unbuffered, write(2) may take a part and say no more; what is left of a full file system is no login.
            with open(fresh, "wb", opener=_private) as file:
                file.write(data)
            fresh.replace(path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _to_row(login: Login) -> dict[str, Any]:
    admission = login.admission
    user = admission.user
    return {
        "ref": login.ref,
        "monitor": [login.monitor.pid, login.monitor.start],
        "state": login.state.value,
        "admitted_at": login.admitted_at,
        "opened_at": login.opened_at,
        "told_source": login.told_source,
        "cut": login.cut,
        "bystanders": [[one.pid, one.start] for one in sorted(login.bystanders, key=lambda one: one.pid)],
        "session_processes": [[one.pid, one.start] for one in login.session_processes],
        "account": admission.account,
        "uid": admission.uid,
        "certificate": base64.b64encode(admission.certificate).decode(),
        "access": admission.access.value,
        "reason": admission.reason.code,
        "sentence": admission.sentence,
        "deadline": admission.deadline,
        "identity": admission.identity,
        "source": admission.source,
        "user": None
        if user is None
        else {
            "subject": user.subject,
            "email": user.email,
            "status": user.status,
            "groups": list(user.groups),
            "name": user.name,
            "user_id": user.user_id,
            "admin": user.admin,
        },
    }


def _from_row(row: dict[str, Any]) -> Login:
    user = row["user"]
    admission = Admission(
        account=row["account"],
        uid=row["uid"],
        certificate=base64.b64decode(row["certificate"], validate=True),
        access=Access(row["access"]),
        reason=Reason.from_code(row["reason"]),
        sentence=row["sentence"],
        deadline=row["deadline"],
        identity=row["identity"],
        source=row["source"],
        user=None if user is None else User(**{**user, "groups": tuple(user["groups"])}),
    )
    return Login(
        ref=row["ref"],
        monitor=Process(*row["monitor"]),
        admission=admission,
        admitted_at=row["admitted_at"],
        state=State(row["state"]),
        opened_at=row["opened_at"],
        told_source=row.get("told_source"),
        cut=row["cut"],
        bystanders=frozenset(Process(*one) for one in row["bystanders"]),
        session_processes={Process(*one) for one in row["session_processes"]},
    )
