"""``hoopjumpd``: reads its configuration, listens, answers until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import pwd
import signal
from collections.abc import Sequence
from pathlib import Path

from hoopjump import __version__
from hoopjump.audit.sinks import open_audit
from hoopjump.config import DEFAULT_PATH, Config, load, read_secret
from hoopjump.daemon import processes, program, systemd
from hoopjump.daemon.admin import Administration
from hoopjump.daemon.agents import LIFETIME, AgentSockets
from hoopjump.daemon.handover import Handovers
from hoopjump.daemon.key_administration import KeyAdministration
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.lookups import Lookups
from hoopjump.daemon.policy import PolicySource
from hoopjump.daemon.preflight import Preflight
from hoopjump.daemon.principals import Principals
from hoopjump.daemon.reach import Reach
from hoopjump.daemon.revocations import Revocations
from hoopjump.daemon.server import Peers, Server
from hoopjump.daemon.sessions import Sessions
from hoopjump.daemon.threads import Threads
from hoopjump.daemon.tokens import Tokens
from hoopjump.daemon.watch import Watch
from hoopjump.errors import HoopjumpError
from hoopjump.gateway.client import GatewayClient
from hoopjump.gateway.directory import Directory
from hoopjump.gateway.roles import Roles
from hoopjump.gateway.sessions import Sessions as GatewaySessions
from hoopjump.handoff.issue import PrivateKeySigner
from hoopjump.keys.dropped import DroppedKeys
from hoopjump.keys.kept import KeptSets
from hoopjump.keys.keysets import KeySets

log = logging.getLogger("hoopjump.daemon")


class StartError(HoopjumpError):
    """The daemon cannot do its work here."""


class Daemon:
    """All parts, put together. Raises :class:`HoopjumpError` for what they cannot work with."""

    def __init__(self, config: Config) -> None:
        self._config = config
        peers = Peers(hook_uid=_hook_uid(config), own_uid=os.getuid())
        if not config.sshd.rootless:
            _must_see_roots_processes()
        audit = open_audit(config.audit.file, journal=config.audit.log == "journal")
        client = GatewayClient(config.gateway, read_secret(config.gateway.api_key), config.daemon.gateway_threads)
        signer = PrivateKeySigner.from_openssh(read_secret(config.handoff.ca_key))
        state, keys = config.daemon.state_dir, config.daemon.keys_dir
        self._threads = Threads(config.daemon.gateway_threads)
        self._table = LoginTable(state / "logins")
        self._watch = Watch(self._table, audit, config.sshd)
        key_sets = KeySets(config.tokens.issuer, DroppedKeys(keys), KeptSets(keys))
        self._tokens = Tokens(key_sets)
        self._revocations = Revocations(self._table, key_sets.revoked, self._watch.cut)
        principals = Principals(
            PolicySource(config),
            Lookups(Directory(client, config.gateway), self._threads, config.gateway.cache),
            self._table,
            self._watch,
            audit,
            rootless=config.sshd.rootless,
            tokens=self._tokens,
        )
        # The signature comes last of what may take ssh its connect timeout.
        agents = AgentSockets(state / "agents", self._table, audit, LIFETIME + config.handoff.connect_timeout)
        self._sessions = Sessions(
            config,
            table=self._table,
            watch=self._watch,
            judge=principals.judge,
            reach=Reach(config.gateway.ssh_host, config.gateway.ssh_port),
            preflight=Preflight(Roles(client, config.gateway), self._threads, config.gateway.cache),
            outcomes=GatewaySessions(client),
            handovers=Handovers(config, signer, agents, audit),
            threads=self._threads,
            audit=audit,
            tokens=self._tokens,
        )
        administration = Administration(self._table, self._watch.cut, config.audit.file)
        self._server = Server(
            {
                "principals": principals.handle,
                "session": self._sessions.handle,
                **administration.handlers,
                **KeyAdministration(key_sets, self._revocations).handlers,
            },
            peers,
            config.daemon.calls_per_uid,
            self._table.user_of,
            self._table.crowd,
        )

    async def serve(self) -> None:
        """Take up the logins there are, answer until SIGTERM or SIGINT, and leave the logins to the next daemon."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await self._startup()
        await stop.wait()
        await self._shutdown()

    async def _startup(self) -> None:
        for complaint in self._table.load():
            log.error("a login was forgotten: %s", complaint)
        self._watch.resume()
        self._revocations.start()
        self._tokens.start()
        await self._server.start(systemd.listener(self._config.daemon.socket, os.environ))
        # What is there now stays: no collection looks at it again, which would take longer than a login has.
        gc.collect()
        gc.freeze()
        systemd.notify("READY=1", os.environ)
        log.info("hoopjumpd %s is ready, %d logins", __version__, len(self._table))
        if self._config.sshd.rootless:
            log.warning("rootless: whoever runs programs as uid %d can say everything here", os.getuid())
        if self._config.gateway.in_clear:
            log.warning("the API key crosses the network in clear: gateway.api_url is no https URL")

    async def _shutdown(self) -> None:
        systemd.notify("STOPPING=1", os.environ)
        await self._server.stop()
        self._sessions.stop()
        await self._revocations.stop()
        self._watch.stop()
        self._threads.stop()
        self._tokens.stop()
        log.info("hoopjumpd has stopped, %d logins stay", len(self._table))


def _run(config: Config) -> None:
    async def story() -> None:
        await Daemon(config).serve()

    try:
        asyncio.run(story())
    except OSError as error:
        raise StartError(f"{error.filename or 'the daemon'}: {error.strerror or error}") from error


def _hook_uid(config: Config) -> int:
    if config.sshd.rootless:
        return os.getuid()
    try:
        return pwd.getpwnam(config.sshd.hook_user).pw_uid
    except KeyError:
        raise StartError(
            f"there is no user {config.sshd.hook_user} (sshd.hook_user)",
            f"useradd --system --shell /usr/sbin/nologin {config.sshd.hook_user}",
        ) from None


def _must_see_roots_processes() -> None:
    """Logins are told apart by sshd's processes, which are root's; proc(5) hidepid and ProtectProc= hide them."""
    if processes.find(1) is None:
        raise StartError(
            "root's processes cannot be seen in /proc, so no login can be told from another",
            "leave ProtectProc= of the unit at default; if /proc is mounted with hidepid=, add the gid= of that mount"
            " to SupplementaryGroups= of the unit",
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the daemon; exits with 0, 1 (cannot work here) or 2 (bad usage or configuration)."""
    parser = argparse.ArgumentParser(prog="hoopjumpd", description="The daemon behind hoopjump's sshd hooks.")
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, help="configuration file (%(default)s)")
    parser.add_argument("--version", action="version", version=f"hoopjumpd {__version__}")
    options = parser.parse_args(arguments)
    with program.telling("hoopjumpd"):
        config = load(options.config)
        program.prepare(journal=config.audit.log == "journal")
        _run(config)
    program.leave()
