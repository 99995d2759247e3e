"""The people in front of a bastion: their certificates, and their ssh, which is the system's own."""

from __future__ import annotations

import itertools
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hoopjump.dev.backend import Backend
from hoopjump.dev.identities import Identity, Workshop, keygen

DOMAIN: Final = "example.com"


class Clients(ABC):
    """What :class:`hoopjump.dev.bastion.Bastion` offers to its users; the attributes are the running bastion's."""

    directory: Path
    workshop: Workshop
    host_key: Identity
    gateway: Backend
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

    def client_config(self, identity: Identity, *, account: str | None = None, gateway_user: str = "") -> Path:
        """An ssh configuration with the hosts ``bastion`` and ``gateway`` for one identity."""
        known_hosts = self.directory / "client" / "known_hosts"
        if not known_hosts.exists():
            host_key = " ".join(self.host_key.public.read_text().split()[:2])
            known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key}\n{self.gateway.known_hosts}")
        path = self.directory / "client" / f"config{next(self._serials)}"
        certificate = f"  CertificateFile {identity.certificate}\n" if identity.certificate else ""
        path.write_text(
            "Host bastion\n"
            f"  HostName 127.0.0.1\n  Port {self.port}\n  User {account or self.account}\n"
            "Host gateway\n"
            f"  HostName {self.gateway.ssh_host}\n  Port {self.gateway.ssh_port}\n"
            f"  User {gateway_user or self._first_principal(identity)}\n"
            "Host *\n"
            f"  IdentityFile {identity.key}\n{certificate}"
            "  IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n"
            f"  UserKnownHostsFile {known_hosts}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
            "  UpdateHostKeys no\n  ControlMaster no\n  ControlPath none\n"
            "  SendEnv HOOP_RESOURCE HOOPJUMP_STDIN\n"
        )
        return path

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
        return ["ssh", "-F", str(config), *(["-tt"] if tty else []), *options, host, *arguments]

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
