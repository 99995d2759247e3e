"""Handing a session over: certificate, agent socket and ssh configuration, made for one session and gone with it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from hoopjump.audit.events import Audit, Fields, Kind, certificate_facts
from hoopjump.config import Config
from hoopjump.daemon.agents import AgentSocket, AgentSockets
from hoopjump.daemon.login import Login
from hoopjump.daemon.readable import readable_by
from hoopjump.decision.certificate import Certificate
from hoopjump.decision.session import SessionVerdict
from hoopjump.handoff import ssh
from hoopjump.handoff.agent import Agent
from hoopjump.handoff.delegation import mint
from hoopjump.handoff.issue import Signer
from hoopjump.handoff.ssh import Destination, HandoffError

KNOWN_HOSTS_LIMIT: Final = 1024 * 1024
KEPT_SECONDS: Final = 3600.0

_NAME: Final = re.compile(r"[0-9]+-[0-9]+-[0-9a-f]{16}\Z")


class HostKeyUnknownError(HandoffError):
    """There is no host key of the gateway to compare with."""


class Handover:
    """What the session's hook is to run. :meth:`close` takes back what of it is still there."""

    correlation: Final = None  # the gateway's SSH server takes none

    def __init__(
        self, login: Login, argv: list[bytes], environment: Mapping[bytes, bytes], config: Path, agent: AgentSocket
    ) -> None:
        self.argv: Final = argv
        self.environment: Final = environment
        self._login = login
        self._config = config
        self._agent = agent
        login.on_close(self.close)

    @property
    def name(self) -> str:
        """What :meth:`Handovers.unused` knows it by."""
        return self._config.stem

    @property
    def used(self) -> bool:
        """Whether ssh has come so far as to ask for the signature that lets it in at the gateway."""
        return self._agent.used

    def leave(self) -> None:
        """The daemon goes and the session stays: the configuration says to the next one that it was not used."""
        self._agent.close()

    def close(self) -> None:
        """Remove the configuration and the agent; a second time does nothing."""
        self._agent.close()
        self._config.unlink(missing_ok=True)
        with contextlib.suppress(ValueError):
            self._login.closers.remove(self.close)


class Handovers:
    """Makes handovers. Configurations that an earlier daemon left are kept for an hour (:meth:`unused`)."""

    def __init__(
        self,
        config: Config,
        signer: Signer,
        agents: AgentSockets,
        audit: Audit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._signer = signer
        self._agents = agents
        self._audit = audit
        self._clock = clock
        self._directory = config.daemon.state_dir / "handoff"
        self._directory.mkdir(parents=True, exist_ok=True)
        self._directory.chmod(0o711)
        for path in self._directory.iterdir():
            # A session that ends at this moment removes its own.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < clock() - KEPT_SECONDS:
                    path.unlink()

    def unused(self, login: Login, name: str) -> bool:
        """Whether nobody has got in with a handover of an earlier daemon: then it can be made anew.

        Every local user can read its name in a list of processes, so it must be one of the login that asks.
        """
        known = _NAME.match(name) is not None and name.startswith(_prefix(login))
        return known and (self._directory / f"{name}.conf").exists()

    def take_back(self, name: str) -> None:
        """Say no more that a handover is :meth:`unused`. Raises :class:`OSError`."""
        (self._directory / f"{name}.conf").unlink()

    async def open(
        self,
        login: Login,
        certificate: Certificate,
        session: SessionVerdict,
        *,
        identity: str,
        deadline: int,
        term: bytes | None,
        ref: str,
        relay: bool,
    ) -> Handover:
        """Everything that ssh needs to reach the gateway once, as ``identity``, until ``deadline`` (Unix seconds).

        ``certificate`` is the user's, ``ref`` the session's, ``relay`` says whether the hook knows that verb.
        Raises :class:`HandoffError`, :class:`DelegationError`, :class:`AuditError` and :class:`OSError`.
        """
        section = self._config.gateway
        keys = ssh.host_keys(_read(section.known_hosts))
        if not keys:
            raise HostKeyUnknownError(f"{section.known_hosts} holds no key")
        handoff = mint(
            self._signer,
            identity=identity,
            cert_attribute=section.cert_attribute,
            extensions=[name for name, _ in certificate.extensions],
            now=self._clock(),
            deadline=deadline,
            ref=login.ref,
        )
        path = self._directory / f"{_prefix(login)}{secrets.token_hex(8)}.conf"
        agent = await self._agents.open(login, Agent(handoff, keys), ref, unused=path)
        handover = Handover(
            login,
            ssh.arguments(self._config.handoff.ssh, path, session.remote_command, terminal=session.terminal),
            ssh.environment(term if session.terminal else None),
            path,
            agent,
        )
        try:
            destination = Destination(
                section.ssh_host,
                section.ssh_port,
                handoff.principal,
                agent.path,
                section.known_hosts,
                self._config.handoff.connect_timeout,
            )
            carrier = self._config.handoff.relay if relay and session.mode == "spool" else None
            _write(path, ssh.config_text(destination, carrier), login.admission.uid)
            self._record(login, certificate, handoff.certificate, ref)
        except BaseException:
            handover.close()
            raise
        return handover

    def _record(self, login: Login, certificate: Certificate, minted: Certificate, ref: str) -> None:
        fields: Fields = {
            **login.facts(),
            "certificate": certificate_facts(certificate),
            "handoff": certificate_facts(minted),
        }
        self._audit.record(Kind.HANDOFF_ISSUED, ref, **fields)


def _prefix(login: Login) -> str:
    return f"{login.monitor.pid}-{login.monitor.start}-"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(KNOWN_HOSTS_LIMIT)


def _write(path: Path, text: str, uid: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        # It names the user; ssh reads it as the session's uid, which is not ours.
        readable_by(file.fileno(), uid)
        file.write(text)
