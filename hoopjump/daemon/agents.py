"""Agent sockets: one a session, for the processes of one login, until the one signature has been made.

The socket stands below ``state_dir/agents`` in a directory with a random name. Anybody may connect to it, as anybody
may to the daemon's own socket: what counts is that the kernel gives the peer the login's uid and that the login's
monitor is the nearest one above it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import socket
from pathlib import Path
from typing import Final

from hoopjump.audit.events import Audit, AuditError, Fields, Kind
from hoopjump.daemon import processes
from hoopjump.daemon.door import Pace
from hoopjump.daemon.login import Login
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.processes import ProcessGoneError
from hoopjump.handoff.agent import MESSAGE_LIMIT, Agent, Conversation

# How long a key waits for its signature, where nothing else is said.
LIFETIME: Final = 60.0
MOST_CONVERSATIONS: Final = 8
STRANGERS_AT_ONCE: Final = 5.0
STRANGERS_PER_SECOND: Final = 0.1

log = logging.getLogger(__name__)


class AgentSockets:
    """Makes agent sockets below ``directory``; what an earlier daemon left there is removed, its keys are gone."""

    def __init__(self, directory: Path, table: LoginTable, audit: Audit, lifetime: float = LIFETIME) -> None:
        self._directory = directory
        self._table = table
        self._audit = audit
        self._lifetime = lifetime
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        # Its names are secret; passing through is not.
        directory.chmod(0o711)

    async def open(self, login: Login, agent: Agent, ref: str, unused: Path | None = None) -> AgentSocket:
        """An open socket that answers for ``agent`` to processes of ``login``; raises :class:`OSError`.

        ``ref`` is what its audit events are found by. The file ``unused`` is removed before a signature leaves us: as
        long as it is there, nobody has got in anywhere.
        """
        home = self._directory / secrets.token_hex(8)
        home.mkdir()
        home.chmod(0o711)
        path = home / "s"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(os.fspath(path))
            # Before listen(2), so nobody is turned away or let in too early.
            path.chmod(0o666)
            found = AgentSocket(path, login, agent, table=self._table, audit=self._audit, ref=ref, unused=unused)
            await found.serve(listener, self._lifetime)
        except BaseException:
            listener.close()
            shutil.rmtree(home, ignore_errors=True)
            raise
        login.on_close(found.close)
        return found


class AgentSocket:
    """One session's agent. It closes by itself after the signature, with the login, and when its time is over."""

    def __init__(
        self,
        path: Path,
        login: Login,
        agent: Agent,
        *,
        table: LoginTable,
        audit: Audit,
        ref: str,
        unused: Path | None = None,
    ) -> None:
        self.path: Final = path
        self._unused = unused
        self._login = login
        self._agent = agent
        self._table = table
        self._audit = audit
        self._ref = ref
        # Anybody may connect, and each would be a line of the trail.
        self._strangers = Pace(STRANGERS_PER_SECOND, STRANGERS_AT_ONCE)
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def closed(self) -> bool:
        """Whether nobody is answered any more."""
        return self._server is None

    @property
    def used(self) -> bool:
        """Whether the signature has been made."""
        return self._agent.signed

    async def serve(self, listener: socket.socket, lifetime: float) -> None:
        """Answer from now on, for at most ``lifetime`` seconds."""
        self._server = await asyncio.start_unix_server(self._connected, sock=listener)
        self._timer = asyncio.get_running_loop().call_later(lifetime, self.close)

    def close(self) -> None:
        """Forget the key, end every conversation and remove the socket; a second time does nothing."""
        if self._server is None or self._timer is None:
            return
        self._agent.drop()
        self._timer.cancel()
        self._server.close()
        self._server = None
        for task in self._tasks:
            task.cancel()
        shutil.rmtree(self.path.parent, ignore_errors=True)
        with contextlib.suppress(ValueError):
            self._login.closers.remove(self.close)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed or len(self._tasks) >= MOST_CONVERSATIONS:
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        signed = False
        try:
            handle, uid = processes.peer(writer.get_extra_info("socket"))
            with handle:
                if uid != self._login.admission.uid or self._table.above(handle.process) is not self._login:
                    if self._strangers.take(self._table.crowd(uid)):
                        self._record(Kind.HANDOFF_REFUSED, handle.process.pid, uid, "the peer is not of this login")
                    return
                signed = await self._converse(reader, writer, handle.process.pid, uid)
        except (ProcessGoneError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
        if signed:
            self.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int, uid: int) -> bool:
        conversation = Conversation(self._agent)
        while True:
            length = int.from_bytes(await reader.readexactly(4), "big")
            if not 1 <= length <= MESSAGE_LIMIT:
                self._record(Kind.HANDOFF_REFUSED, pid, uid, "a message of impossible length")
                return False
            answer = conversation.answer(await reader.readexactly(length))
            if answer.refused is not None:
                self._record(Kind.HANDOFF_REFUSED, pid, uid, answer.refused)
            if answer.signed:
                # What cannot be recorded does not happen: the signature is not sent.
                self._record(Kind.HANDOFF_SIGNED, pid, uid, "one authentication at the gateway")
                if self._unused is not None:
                    self._unused.unlink(missing_ok=True)
            writer.write(len(answer.message).to_bytes(4, "big") + answer.message)
            await writer.drain()
            if answer.signed:
                return True

    def _record(self, kind: Kind, pid: int, uid: int, detail: str) -> None:
        fields: Fields = {
            **self._login.facts(),
            "handoff": {"serial": str(self._agent.certificate.serial)},
            "pid": pid,
            "uid": uid,
            "detail": detail,
        }
        try:
            self._audit.record(kind, self._ref, **fields)
        except AuditError as error:
            log.critical("%s", error.message)
            raise ConnectionError("the audit trail cannot be written") from error
