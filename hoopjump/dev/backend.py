"""What stands behind a private bastion: the embedded gateway, and what its resource roles reach.

Databases and the second sshd take seconds to start, so each is started when it is first asked for.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from hoopjump.dev import accounts, programs
from hoopjump.dev.databases import MysqlServer, PostgresServer
from hoopjump.dev.gateway import Gateway, RoleSpec, UserSpec
from hoopjump.dev.identities import Workshop
from hoopjump.dev.private_sshd import Sshd
from hoopjump.dev.services import Service, free_port

DOMAIN: Final = "example.com"
AGENT: Final = "hoop-agent"

PEOPLE: Final = (
    UserSpec(f"alice@{DOMAIN}", groups=("dev",), subject="auth0|alice"),
    UserSpec(f"bob@{DOMAIN}", groups=("dev",), subject="auth0|bob"),
    UserSpec(f"carol@{DOMAIN}", groups=("dev",), subject="auth0|carol", status="inactive"),
)


class Backend:
    """The gateway with its people and roles; ``directory`` must not be there yet."""

    def __init__(self, directory: Path, workshop: Workshop) -> None:
        directory.mkdir(mode=0o755)
        self._directory = directory
        self._workshop = workshop
        # Where the commands of resource roles run: the home of the agent's host.
        self._home = directory / "agent"
        self._home.mkdir(mode=0o755)
        (self._home / "welcome.txt").write_text("You are where the gateway's agent is.\n")
        self._stack = ExitStack()

    def start(
        self,
        trusted_cas: Sequence[str],
        mapping: tuple[str, str],
        *,
        users: Sequence[UserSpec] = PEOPLE,
        roles: Sequence[RoleSpec] = (),
        access_control: bool = False,
    ) -> Gateway:
        """Start the gateway; ``roles`` come beside ``mybash``."""
        self.gateway = Gateway.start(
            self._directory / "gateway",
            users=users,
            roles=(self.role(RoleSpec("mybash")), *roles),
            trusted_cas=trusted_cas,
            mapping=mapping,
            access_control=access_control,
        )
        self._stack.callback(self.gateway.stop)
        return self.gateway

    def role(self, role: RoleSpec) -> RoleSpec:
        """The role with its command run in the agent's home; under an account without power where we are root."""
        become: tuple[str, ...] = ()
        if os.geteuid() == 0:
            uid, gid = accounts.ids(AGENT)
            become = (str(programs.find("setpriv")), f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
        return replace(role, command=(*become, "env", f"--chdir={self._home}", f"HOME={self._home}", *role.command))

    def postgres(self, name: str = "pgdemo") -> PostgresServer:
        """A PostgreSQL server, with a role that leads to it."""
        server = self._stack.enter_context(PostgresServer())
        role = RoleSpec.postgres(name, host=server.host, port=server.port, user=server.user, database=server.database)
        self.gateway.add_role(self.role(role))
        return server

    def mysql(self, name: str = "mydemo") -> MysqlServer:
        """A MariaDB server, with a role that leads to it."""
        server = self._stack.enter_context(MysqlServer())
        role = RoleSpec.mysql(name, host=server.host, port=server.port, user=server.user, database=server.database)
        self.gateway.add_role(self.role(role))
        return server

    def ssh_target(self, name: str = "web1") -> Service:
        """A second sshd, with a role of type ``ssh`` that leads to it."""
        port = free_port()
        account = AGENT if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        key, host_key = self._workshop.key(f"{name}-agent"), self._workshop.key(f"{name}-host")
        keys = self._directory / f"{name}.keys"
        keys.write_text(key.public.read_text())
        service = Sshd(
            f"sshd of {name}",
            self._directory / f"{name}.conf",
            self._directory / f"{name}.log",
            ports=(port,),
            host_key=host_key.key,
            lines=(
                f"AuthorizedKeysFile {keys}",
                # A rootless bastion's directory lies below one that everybody may write to.
                "StrictModes no",
                "Subsystem sftp /usr/lib/openssh/sftp-server",
            ),
        )
        self._stack.callback(service.stop)
        service.start()
        self.gateway.add_role(RoleSpec.ssh(name, host="127.0.0.1", port=port, user=account, key=key.key.read_text()))
        return service

    def stop(self) -> None:
        """End everything."""
        self._stack.close()
