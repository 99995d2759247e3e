"""What is measured: our block of sshd_config beside ports that do without one part of it or all of us."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from hoopjump.dev import accounts, programs
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import Identity
from hoopjump.dev.private_sshd import Sshd
from hoopjump.dev.services import free_port
from hoopjump.sshd import snippets, versions


class Stand(Bastion):
    """A bastion with further ports, one for each thing that is compared.

    ``file`` takes principals from a file, ``hook`` asks our hook and has nothing of us behind it, ``nested`` has a
    ForceCommand that is an ssh to the gateway.

    With ``target`` the gateway's SSH side is a stock sshd, which moves bytes as fast as ssh does; its REST side stays.
    """

    def __init__(self, *, target: bool = False, **options: Any) -> None:  # noqa: ANN401 - passed on
        self._target = target
        self.target_account = "hoop-agent" if os.geteuid() == 0 else self._own_name()
        super().__init__(
            variants=("file", "hook", "nested"),
            sshd_lines=("PerSourceMaxStartups none", "MaxSessions 10"),
            **options,
        )

    @staticmethod
    def _own_name() -> str:
        return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607

    def variant(self, name: str) -> Sequence[str]:
        """The lines of one of the ports."""
        authority = self.directory / "etc" / "user_ca.pub"
        if name == "hook":
            block = snippets.render(
                versions.installed(programs.sshd()),
                ca_file=authority,
                forward_targets=(),
                hook=self.hook,
                hook_user=self.place.hook_user,
                socket=self.socket,
            ).splitlines()
            kept = ("AuthorizedPrincipalsCommand", "TrustedUserCAKeys", "AuthorizedKeysFile")
            return [line for line in block if line.split()[:1] and line.split()[0].startswith(kept)]
        principals = self.directory / "etc" / "principals"
        principals.write_text(f"{self.email('alice')}\n{self.target_account}\n")
        lines = [
            f"TrustedUserCAKeys {authority}",
            f"AuthorizedPrincipalsFile {principals}",
            "AuthorizedKeysFile none",
        ]
        return lines if name == "file" else [*lines, f"ForceCommand exec {self._nested()}"]

    def _nested(self) -> Path:
        """What people write who have no hoopjump: an ssh to the gateway with a key that lies on the bastion."""
        script = self.directory / "lib" / "nested"
        if not script.exists():
            directory = self.directory / "nested"
            directory.mkdir(mode=0o700)
            identity = self.certificate(principals=(self.gateway_principal,))
            for path in (identity.key, identity.certificate, identity.public):
                assert path is not None
                copy = directory / path.name
                copy.write_bytes(path.read_bytes())
                copy.chmod(0o600)
            host, port = self.gateway_address
            (directory / "known_hosts").write_text(self.gateway_known_hosts)
            (directory / "config").write_text(
                f"Host gateway\n  HostName {host}\n  Port {port}\n  User {self.gateway_principal}\n"
                f"  IdentityFile {directory / identity.key.name}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
                f"  UserKnownHostsFile {directory / 'known_hosts'}\n  GlobalKnownHostsFile /dev/null\n"
                "  StrictHostKeyChecking yes\n  LogLevel ERROR\n  EscapeChar none\n"
            )
            if not self.place.rootless:
                for path in (directory, *directory.iterdir()):
                    os.chown(path, *accounts.ids(self.account))
            script.write_text(
                '#!/bin/sh\n[ -n "${SSH_TTY:-}" ] && tty=-tt || tty=-T\n'
                f'exec ssh -F {shlex.quote(str(directory / "config"))} $tty gateway -- "$SSH_ORIGINAL_COMMAND"\n'
            )
            script.chmod(0o755)
        return script

    # -- The gateway's SSH side --------------------------------------------------------------------------------------

    @property
    def gateway_principal(self) -> str:
        """The user's name at the gateway."""
        return self.target_account if self._target else self.email("alice")

    @property
    def gateway_address(self) -> tuple[str, int]:
        """Host and port of the gateway's SSH server."""
        return ("127.0.0.1", self.target_port) if self._target else ("127.0.0.1", self.gateway.ssh_port)

    @property
    def gateway_known_hosts(self) -> str:
        """The gateway's line in known_hosts."""
        if not self._target:
            return f"{self.gateway.host_key_line}\n"
        key = " ".join(self.workshop.key("target_host").public.read_text().split()[:2])
        return f"[127.0.0.1]:{self.target_port} {key}\n"

    def _start_gateway(self) -> None:
        super()._start_gateway()
        if self._target:
            self._start_target()

    def _start_target(self) -> None:
        self.target_port = free_port()
        host_key = self.workshop.key("target_host")
        place = self.directory / "target"
        place.mkdir(mode=0o755)
        authorities = "".join(each.public.read_text() for each in (self.user_ca, self.handoff_ca))
        (place / "cas").write_text(authorities)
        (place / "known_hosts").write_text(self.gateway_known_hosts)
        (place / "enter").write_text('#!/bin/sh\nset -- $SSH_ORIGINAL_COMMAND\nshift\nexec "$@"\n')
        (place / "enter").chmod(0o755)
        target = Sshd(
            "sshd of the gateway's place",
            place / "sshd_config",
            self.directory / "log" / "target.log",
            ports=(self.target_port,),
            host_key=host_key.key,
            lines=(
                "StrictModes no",
                f"TrustedUserCAKeys {place / 'cas'}",
                "AuthorizedKeysFile none",
                f"ForceCommand exec {place / 'enter'}",
            ),
        )
        self._ending.callback(target.stop)
        target.start()
        gateway = {"ssh_port": self.target_port, "known_hosts": str(place / "known_hosts")}
        self._settings = {**self._settings, "gateway": {**self._settings.get("gateway", {}), **gateway}}

    # -- The client --------------------------------------------------------------------------------------------------

    def command(
        self, port: int, *arguments: str, identity: Identity, options: Sequence[str] = (), tty: bool = False
    ) -> list[str]:
        """The argv of a client of one port."""
        return self.ssh_command(*arguments, identity=identity, options=("-p", str(port), *options), tty=tty)

    def known_ports(self) -> None:
        """Tell the clients that all ports have the bastion's host key."""
        path = self.directory / "client" / "known_hosts"
        key = " ".join(self.host_key.public.read_text().split()[:2])
        lines = [f"[127.0.0.1]:{port} {key}" for port in (self.port, *self.ports.values())]
        path.write_text("\n".join([*lines, self.gateway.host_key_line]) + "\n")


ROUNDS: Final = int(os.environ.get("HOOPJUMP_BENCH_ROUNDS", "30"))


def run(argv: Sequence[str], **options: Any) -> None:  # noqa: ANN401 - passed on
    """Run a client whose success is taken for granted; raises :class:`RuntimeError` with what it said."""
    done = subprocess.run(argv, check=False, capture_output=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(argv)}: exit {done.returncode}: {done.stderr.decode(errors='replace')[-400:]}")
