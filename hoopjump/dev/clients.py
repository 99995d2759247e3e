"""The people in front of a bastion: their certificates, and their ssh, which is the system's own."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hoopjump.dev import programs
from hoopjump.dev.backend import DOMAIN
from hoopjump.dev.gateway import Gateway
from hoopjump.dev.identities import Identity, Workshop, keygen


class Clients(ABC):
    """What :class:`hoopjump.dev.bastion.Bastion` offers to its users; the attributes are the running bastion's."""

    directory: Path
    workshop: Workshop
    host_key: Identity
    gateway: Gateway
    port: int
    _serials = itertools.count(1)

    @property
    @abstractmethod
    def account(self) -> str:
        """The account that clients log in to unless told otherwise."""

    def email(self, user: str) -> str:
        """The e-mail address of a user of the embedded gateway."""
        return f"{user}@{DOMAIN}"

    def certificate(self, user: str = "alice", **flaws: Any) -> Identity:  # noqa: ANN401 - passed on
        """A fresh certificate for a user; ``flaws`` are arguments of :meth:`Workshop.certificate`."""
        principals = flaws.pop("principals", (self.email(user),))
        return self.workshop.certificate(principals, **flaws)

    def client_config(self, identity: Identity, *, account: str | None = None) -> Path:
        """An ssh configuration with the hosts ``bastion`` and ``gateway`` for one identity."""
        path = self.directory / "client" / f"config{next(self._serials)}"
        path.write_text(
            self._hosts("bastion", "gateway", identity, account or self.account)
            + _every_host(self._known_hosts(self.directory / "client"))
        )
        return path

    def export(self, directory: Path, identities: Mapping[str, Identity]) -> Path:
        """An ssh configuration with all it names in ``directory``, for clients outside of root's private view.

        The first identity's hosts are ``bastion`` and ``gateway``, every further one's ``bastion-NAME`` and
        ``gateway-NAME``.
        """
        text, suffix = "", ""
        for name, identity in identities.items():
            assert identity.certificate is not None
            key, certificate = directory / name, directory / f"{name}-cert.pub"
            shutil.copy(identity.key, key)
            shutil.copy(identity.certificate, certificate)
            suffix = f"-{name}" if text else ""
            text += self._hosts(f"bastion{suffix}", f"gateway{suffix}", Identity(key, certificate), self.account)
        config = directory / "config"
        config.write_text(text + _every_host(self._known_hosts(directory)))
        return config

    def _known_hosts(self, directory: Path) -> Path:
        path = directory / "known_hosts"
        host_key = " ".join(self.host_key.public.read_text().split()[:2])
        path.write_text(f"[127.0.0.1]:{self.port} {host_key}\n{self.gateway.host_key_line}\n")
        return path

    def _hosts(self, bastion: str, gateway: str, identity: Identity, account: str) -> str:
        identification = f"  IdentityFile {identity.key}\n"
        if identity.certificate:
            identification += f"  CertificateFile {identity.certificate}\n"
        return (
            f"Host {bastion}\n"
            f"  HostName 127.0.0.1\n  Port {self.port}\n  User {account}\n{identification}"
            f"Host {gateway}\n"
            f"  HostName {self.gateway.ready.ssh_host}\n  Port {self.gateway.ssh_port}\n"
            f"  User {self._first_principal(identity)}\n{identification}"
        )

    def _first_principal(self, identity: Identity) -> str:
        if identity.certificate is None:
            return self.email("alice")
        rows = keygen("-L", "-f", str(identity.certificate)).splitlines()
        after = next((index for index, row in enumerate(rows) if row.strip() == "Principals:"), None)
        return rows[after + 1].strip() if after is not None else self.email("alice")

    def ssh_command(
        self,
        *arguments: str,
        identity: Identity | None = None,
        account: str | None = None,
        options: Sequence[str] = (),
        tty: bool = False,
        host: str = "bastion",
    ) -> list[str]:
        """The argv of a client: ``ssh … HOST ARGUMENTS``; ``options`` stand before the host."""
        config = self.client_config(identity or self.certificate(), account=account)
        return [str(programs.ssh()), "-F", str(config), *(["-tt"] if tty else []), *options, host, *arguments]

    def ssh(
        self,
        *arguments: str,
        identity: Identity | None = None,
        account: str | None = None,
        options: Sequence[str] = (),
        tty: bool = False,
        host: str = "bastion",
        input: bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a client to its end; without ``input`` its standard input is closed."""
        argv = self.ssh_command(*arguments, identity=identity, account=account, options=options, tty=tty, host=host)
        return subprocess.run(
            argv,
            input=input if input is not None else b"",
            capture_output=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **(env or {})},
        )

    def jump(
        self,
        *arguments: str,
        options: Sequence[str] = (),
        **rest: Any,  # noqa: ANN401 - passed on
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a client that goes to the gateway itself, through the bastion (ProxyJump)."""
        return self.ssh(*arguments, options=("-J", "bastion", *options), host="gateway", **rest)


def _every_host(known_hosts: Path) -> str:
    return (
        "Host *\n"
        "  IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n"
        f"  UserKnownHostsFile {known_hosts}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
        "  UpdateHostKeys no\n  ControlMaster no\n  ControlPath none\n"
        "  SendEnv HOOP_RESOURCE HOOPJUMP_STDIN\n"
    )
