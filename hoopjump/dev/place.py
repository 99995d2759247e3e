"""Who is who on a private bastion: different for root and for an ordinary user."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hoopjump.dev import accounts
from hoopjump.dev.services import ServiceError

ADMINISTRATOR: Final = "admin"


@dataclass(frozen=True, slots=True)
class Place:
    """The accounts, where the bastion's directory lies (``parent``), and whom sshd's block is for (``match``)."""

    rootless: bool
    account: str
    hook_user: str
    daemon_user: str
    parent: Path | None
    match: str

    @classmethod
    def here(cls) -> Place:
        """The place of this process; root must be in a private view (:func:`accounts.enter`)."""
        if os.geteuid() != 0:
            try:
                own = pwd.getpwuid(os.geteuid())
            except KeyError:
                raise ServiceError(f"uid {os.geteuid()} has no account; sshd lets in users with one only") from None
            if own.pw_shell.endswith(("/nologin", "/false")):
                raise ServiceError(f"the shell of {own.pw_name} is {own.pw_shell}; sshd starts every session with it")
            return cls(True, own.pw_name, own.pw_name, own.pw_name, None, f"User {own.pw_name}")
        if not accounts.inside():
            raise accounts.PrivateViewError("a bastion of root's needs the private view (accounts.enter)")
        users = ",".join(
            account.name for account in accounts.ACCOUNTS if account.login and account.name != ADMINISTRATOR
        )
        return cls(False, "hoop", "hoopjump-hook", "hoopjump", accounts.PLACE, f"User {users}")

    def give_to_daemon(self, path: Path) -> None:
        """Have a file or directory belong to the daemon's user."""
        if not self.rootless:
            os.chown(path, *accounts.ids(self.daemon_user))
