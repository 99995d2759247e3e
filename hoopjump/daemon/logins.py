"""The logins of this bastion: who was admitted on which sshd monitor, and what has become of it.

A login is keyed by its monitor, the root-owned sshd process of the connection, as (pid, start time): nothing a user can
forge. It is *admitted* when sshd's hook asks about a certificate, *open* when sshd runs something as the account, and
*closed* when the monitor ends. The hook asks once or twice a login and once for every certificate that a client
offers, so the last admission on a monitor is the one that counts.

Every login is one JSON file in the state directory, so that a restarted daemon goes on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hoopjump.audit.events import new_reference
from hoopjump.daemon import processes
from hoopjump.daemon.login import Admission, Login, State
from hoopjump.daemon.login_files import LoginFiles
from hoopjump.daemon.processes import Process, ProcessGoneError

STRANGERS: Final = -1  # no uid


class LoginTable:
    """All logins, in memory and in the files of ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._files = LoginFiles(directory)
        self._logins: dict[Process, Login] = {}
        self._uids: frozenset[int] | None = None

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
        self._files.write(login)
        self._logins[login.monitor] = login
        self._uids = None

    def add_session_process(self, login: Login, process: Process) -> None:
        """Remember a process of one of the login's sessions; it is ended with the login, with all below it."""
        login.session_processes = {one for one in login.session_processes if processes.alive(one)} | {process}
        self._files.write(login)

    def remove_session_process(self, login: Login, process: Process) -> None:
        """Forget a process of a session that has ended in good order."""
        login.session_processes.discard(process)
        if login.state is not State.CLOSED:
            self._files.write(login)

    def drop(self, login: Login) -> None:
        """Forget a login and its file."""
        self._logins.pop(login.monitor, None)
        self._uids = None
        self._files.remove(login)

    def load(self) -> list[str]:
        """Read what an earlier daemon left; gives a sentence for each file that had to be thrown away."""
        found, complaints = self._files.load()
        self._logins.update((login.monitor, login) for login in found)
        self._uids = None
        return complaints

    def _accounts(self) -> frozenset[int]:
        if self._uids is None:
            self._uids = frozenset(login.admission.uid for login in self._logins.values())
        return self._uids
