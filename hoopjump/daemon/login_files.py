"""The files of the logins: one JSON file each, so that a restarted daemon goes on where the last one stopped."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from hoopjump.daemon import processes
from hoopjump.daemon.login import Admission, Login, State
from hoopjump.daemon.processes import Process
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token_mark import TokenMark
from hoopjump.decision.values import Access, User

FORMAT: Final = 1


class LoginFiles:
    """The files in ``directory`` (made when missing; 0700, one 0600 file a login), named by their monitors."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._boot = processes.boot_id()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self) -> tuple[list[Login], list[str]]:
        """The logins that an earlier daemon left, and a sentence for each file that had to be thrown away.

        Logins of an earlier boot are forgotten: pids and start times mean nothing beyond it.
        """
        found = []
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
                found.append(login)
        return found, complaints

    def write(self, login: Login) -> None:
        """Keep a login; raises :class:`OSError`, and then what was kept of it before stays."""
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

    def remove(self, login: Login) -> None:
        """Keep a login no longer."""
        self._path(login.monitor).unlink(missing_ok=True)

    def _read(self, path: Path) -> Login | None:
        if path.suffix != ".json":
            return None
        row = json.loads(path.read_bytes())
        if row["format"] != FORMAT:
            raise ValueError("unknown format")
        return _from_row(row) if row["boot"] == self._boot else None

    def _path(self, monitor: Process) -> Path:
        return self._directory / f"{monitor.pid}-{monitor.start}.json"


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
        "cut": None if login.cut is None else login.cut.code,
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
        "tokens": [asdict(token) for token in admission.tokens],
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
        tokens=tuple(TokenMark(**token) for token in row.get("tokens", ())),
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
        cut=Reason.from_code(row["cut"]) if row["cut"] else None,
        bystanders=frozenset(Process(*one) for one in row["bystanders"]),
        session_processes={Process(*one) for one in row["session_processes"]},
    )
