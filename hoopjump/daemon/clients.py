"""Which client carries a session to the gateway, and what must hold before the user's own token is handed to it.

A process of the same uid may read another's environment in /proc (proc(5)), and on a shared account that is another
user's. So nothing gets a token that can be read so: the client's file must be executable and not readable, which makes
the kernel keep its process from everybody but root (exec.c would_dump; ptrace(2), PTRACE_MODE_READ), and the hook must
have made itself not dumpable (prctl(2) PR_SET_DUMPABLE) before it asked.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from hoopjump.config import Config
from hoopjump.daemon.wishes import RefusedError, Wish
from hoopjump.decision.reasons import Reason, printable
from hoopjump.decision.request import SessionRequest
from hoopjump.decision.session import Role, SessionVerdict
from hoopjump.decision.values import Presented, Token, User
from hoopjump.handoff import hoop_cli
from hoopjump.handoff.hoop_cli import Endpoint

PEM_LIMIT: Final = 64 * 1024
SUID_DUMPABLE: Final = Path("/proc/sys/fs/suid_dumpable")

log = logging.getLogger(__name__)


class HandedOver(Protocol):
    """What the session's hook is to run, and what is known of it."""

    @property
    def argv(self) -> list[bytes]:
        """The program and its arguments."""

    @property
    def environment(self) -> Mapping[bytes, bytes]:
        """The whole of its environment."""

    @property
    def name(self) -> str:
        """What the hook calls it before a daemon that does not know it."""

    @property
    def used(self) -> bool:
        """Whether it may have been let in at the gateway."""

    @property
    def correlation(self) -> str | None:
        """What the gateway's row of the session is marked with, if it is."""

    def leave(self) -> None:
        """The daemon goes and the session stays."""

    def close(self) -> None:
        """The session has ended."""


class HoopClient:
    """The gateway's own client, started for one session. Nothing of it is left when it ends."""

    name: Final = "hoop"  # of no login: what it did before a restart of the daemon cannot be known
    used: Final = True

    def __init__(self, start: hoop_cli.Start) -> None:
        self.argv: Final = start.argv
        self.environment: Final = start.environment
        self.correlation: Final = start.correlation

    def leave(self) -> None:
        """Nothing is held for it."""

    def close(self) -> None:
        """Nothing is held for it."""


class Clients:
    """Chooses the client of a session, and starts ``hoop``."""

    def __init__(self, config: Config) -> None:
        self._handoff = config.handoff
        self._gateway = config.gateway
        self._rootless = config.sshd.rootless
        if config.handoff.uses_hoop and (fault := self._fault()) is not None:
            log.error("no token is handed on (%s): %s", Reason.CLIENT_UNUSABLE.code, fault)
        self._taken = frozenset(section.issuer for section in config.tokens.issuer if section.hand_on)

    def is_hoop(self, role: str) -> bool:
        """Whether sessions on a role go through ``hoop`` (else through ssh)."""
        return self._handoff.client_of(role) == "hoop"

    def token(
        self, wish: Wish, token: Presented, role: Role, request: SessionRequest, verdict: SessionVerdict, *, user: User
    ) -> bytes:
        """The token to hand on; ``token`` is what the session's own is worth. Raises :class:`RefusedError`.

        The gateway goes by the token's subject alone, whichever claim we know the user by.
        """
        if verdict.verb is None or not hoop_cli.serves(role.protocol, verdict.verb):
            kind = f"{role.type}/{role.subtype}" if role.subtype else role.type
            raise RefusedError(Reason.CLIENT_UNSUPPORTED, Reason.CLIENT_UNSUPPORTED.sentence(type=kind))
        if request.command is not None and not hoop_cli.is_text(request.command):
            raise RefusedError(Reason.COMMAND_NOT_TEXT)
        if not isinstance(token, Token) or wish.token is None:
            raise RefusedError(Reason.CLIENT_TOKEN_MISSING)
        if token.issuer not in self._taken:
            raise RefusedError(Reason.CLIENT_TOKEN_NOT_TAKEN, detail=f"iss {token.issuer[:128]!a}")
        if token.subject != user.subject:
            told = f"the token's subject is {printable(token.subject)}, the user's {printable(user.subject)}"
            raise RefusedError(Reason.TOKEN_OTHER_USER, detail=told)
        if not wish.concealed:
            raise RefusedError(Reason.CLIENT_UNUSABLE, detail="the hook could not make itself unreadable")
        if (fault := self._fault()) is not None:
            raise RefusedError(Reason.CLIENT_UNUSABLE, detail=fault)
        return wish.token

    def _fault(self) -> str | None:
        fault = unreadable_fault(self._handoff.hoop, rootless=self._rootless)
        return open_to_all() if fault is None else f"{self._handoff.hoop} {fault}"

    def open(self, role: str, verdict: SessionVerdict, *, token: bytes, term: bytes | None, ref: str) -> HoopClient:
        """The client for a session that was granted. Raises :class:`HandoffError` and :class:`OSError`."""
        authorities = None
        if self._gateway.ca_file is not None:
            with self._gateway.ca_file.open("rb") as file:
                authorities = file.read(PEM_LIMIT)
        endpoint = Endpoint(
            self._gateway.api_url.rstrip("/"),
            self._handoff.grpc_url or "",
            authorities,
            self._handoff.tls_server_name,
        )
        start = hoop_cli.start(
            self._handoff.hoop, role, verdict.verb or "exec", endpoint=endpoint, token=token, term=term, ref=ref
        )
        return HoopClient(start)


def open_to_all() -> str | None:
    """Whether the kernel shows also such processes to their uid: proc_sys_fs(5), suid_dumpable 1, for debugging."""
    try:
        shown = SUID_DUMPABLE.read_text(encoding="ascii").strip() == "1"
    except OSError:
        return None
    return "fs.suid_dumpable is 1, so that every process can be looked into by its user" if shown else None


def unreadable_fault(path: Path, *, rootless: bool) -> str | None:
    """Why a program's process could be read by its own uid or be somebody else's program; None when it is neither.

    Where everything has one uid (``rootless``) its owner is that uid, which then must not have the right to read.
    """
    try:
        found = path.stat()
    except OSError as error:
        return f"cannot be found: {error.strerror}"
    if not stat.S_ISREG(found.st_mode) or not found.st_mode & 0o001:
        return "is not a program that everybody may start"
    if found.st_uid != 0 and not rootless:
        return f"belongs to uid {found.st_uid}, not to root"
    if found.st_mode & 0o022:
        return "can be written by others than its owner"
    readers = 0o444 if found.st_uid != 0 else 0o044
    if found.st_mode & (readers | 0o6000):
        return f"has mode {stat.S_IMODE(found.st_mode):04o}, so that its users could read what it holds"
    return None
