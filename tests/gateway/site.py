"""A whole gateway for tests: the embedded one, or the real one of HOOPJUMP_TEST_GATEWAY (docs/gateway.md)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hoopjump.config import GatewaySection
from hoopjump.dev.gateway import RoleSpec, Setup, UserSpec, in_thread
from hoopjump.gateway import ssh_server
from hoopjump.gateway.client import GatewayClient
from hoopjump.handoff.issue import CertificateSpec, PrivateKeySigner, issue, options
from tests.gateway.files import keygen, public_key

ENVIRONMENT = "HOOPJUMP_TEST_GATEWAY"
_PREFIX = "HOOPJUMP_TEST_"
_NEEDED = ("API_URL", "API_KEY", "SSH", "AGENT_ID", "USER", "ROLE")


@dataclass(frozen=True)
class Site:
    """Where a gateway is and what it holds; empty where a real one does not say."""

    api_url: str
    api_key: str
    ssh_host: str
    ssh_port: int
    agent_id: str
    user: str
    inactive_user: str
    role: str
    postgres_role: str
    hidden_role: str
    admin_key: str
    ca_key: str
    """Text of the private key of a CA that the gateway trusts."""
    ca_file: str = ""

    def needs(self, name: str) -> str:
        """A value that a real gateway may not have given; skips the test then."""
        value = str(getattr(self, name))
        if not value:
            pytest.skip(f"{_PREFIX}{name.upper()} is not set in the file of {ENVIRONMENT}")
        return value

    def section(self, **settings: object) -> GatewaySection:
        """The configuration's section for it."""
        given: dict[str, object] = {
            "api_url": self.api_url,
            "ssh_host": self.ssh_host,
            "ssh_port": self.ssh_port,
            "ca_file": self.ca_file or None,
            "cache": 0,
            **settings,
        }
        return GatewaySection.model_validate(given)

    def client(self) -> GatewayClient:
        """A client with the auditor's key."""
        return GatewayClient(self.section(), self.api_key)

    def ssh(self, directory: Path, command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command by the test user over the certificate SSH server, with a certificate made for it."""
        key = keygen(directory / "session")
        now = int(time.time())
        certificate = issue(
            CertificateSpec(
                public_key(key),
                key_id=self.user,
                principals=(self.user,),
                valid_after=now - 60,
                valid_before=now + 600,
                extensions=options({"permit-pty": "", "permit-port-forwarding": ""}),
            ),
            PrivateKeySigner.from_openssh(self.needs("ca_key")),
        )
        (directory / "session-cert.pub").write_text(
            f"{ssh_server.key_line(ssh_server.Authority(certificate, 'test'))}\n"
        )
        config = directory / "ssh_config"
        config.write_text(f'User "{self.user}"\n')
        return subprocess.run(
            [
                "ssh", "-F", str(config), "-T", "-p", str(self.ssh_port), "-i", str(key),
                "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/dev/null",
                "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR", self.ssh_host, "--", command,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )  # fmt: skip


def _real(path: Path) -> Site:
    """Read the environment file: NAME=VALUE lines, blank lines and comments."""
    values: dict[str, str] = {}
    for line in path.read_text().splitlines():
        name, equals, given = line.strip().partition("=")
        if equals and not name.startswith("#"):
            values[name] = given.strip().strip("'\"")
    missing = [_PREFIX + name for name in _NEEDED if not values.get(_PREFIX + name)]
    if missing:
        pytest.fail(f"{path}: {', '.join(missing)} missing; see docs/gateway.md", pytrace=False)

    def value(name: str) -> str:
        return values.get(_PREFIX + name, "")

    host, _, port = value("SSH").rpartition(":")
    ca_key = value("CA_KEY")
    return Site(
        api_url=value("API_URL"),
        api_key=value("API_KEY"),
        ssh_host=host,
        ssh_port=int(port),
        agent_id=value("AGENT_ID"),
        user=value("USER"),
        inactive_user=value("INACTIVE_USER"),
        role=value("ROLE"),
        postgres_role=value("POSTGRES_ROLE"),
        hidden_role=value("HIDDEN_ROLE"),
        admin_key=value("ADMIN_KEY"),
        ca_key=Path(ca_key).read_text() if ca_key else "",
        ca_file=value("CA_FILE"),
    )


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    """The gateway that the tests run against."""
    real = os.environ.get(ENVIRONMENT)
    if real:
        yield _real(Path(real))
        return
    with embedded(directory) as made:
        yield made


@contextmanager
def embedded(directory: Path) -> Iterator[Site]:
    """The embedded gateway with two users, three roles and access control."""
    ca = keygen(directory / "ca")
    setup = Setup(
        users=(UserSpec("alice@x.io", groups=("dev",)), UserSpec("dave@x.io", groups=("dev",), status="inactive")),
        roles=(
            RoleSpec("mybash", groups=("dev",)),
            RoleSpec("pgdemo", ("true",), "database", "postgres", groups=("dev",)),
            RoleSpec("secret-role", groups=("ops",)),
        ),
        trusted_cas=(ca.with_suffix(".pub").read_text().strip(),),
    )
    with in_thread(setup) as (gateway, ready):
        yield Site(
            api_url=ready.api_url,
            api_key=ready.auditor_key,
            ssh_host=ready.ssh_host,
            ssh_port=ready.ssh_port,
            agent_id=gateway.store.agents[0].id,
            user="alice@x.io",
            inactive_user="dave@x.io",
            role="mybash",
            postgres_role="pgdemo",
            hidden_role="secret-role",
            admin_key=ready.admin_key,
            ca_key=ca.read_text(),
        )
