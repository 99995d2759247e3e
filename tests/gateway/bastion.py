"""A bastion as the command `hoopjump gateway` sees one: a configuration and the files that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hoopjump.gateway.client import GatewayClient
from tests.gateway.files import keygen, secret
from tests.gateway.site import Site

Run = Callable[..., tuple[int, str, str]]
"""The command with these words: exit status, stdout, stderr."""


@dataclass
class Bastion:
    """A configuration file beside the files that it names."""

    directory: Path
    gateway: Site

    def __post_init__(self) -> None:
        self.known_hosts = self.directory / "known_hosts"
        self.user_cas = self.directory / "user_ca.pub"
        self.handoff = keygen(self.directory / "handoff")
        self.config = self.directory / "hoopjump.toml"
        self.configure(self.gateway.api_url, secret(self.directory / "api-key", self.gateway.api_key))

    def configure(self, api_url: str, api_key: str, more: str = "") -> None:
        """Write the configuration."""
        self.config.write_text(
            f"""[trust]
user_cas = "{self.user_cas}"
[handoff]
ca_key = "file:{self.handoff}"
[gateway]
api_url = "{api_url}"
api_key = "{api_key}"
ssh_host = "{self.gateway.ssh_host}"
ssh_port = {self.gateway.ssh_port}
known_hosts = "{self.known_hosts}"
read_timeout = 2
{more}
"""
        )

    def misc(self) -> dict[str, Any]:
        """The gateway's configuration."""
        answer = self.admin().get("serverconfig", "misc")
        assert isinstance(answer, dict)
        return answer

    def admin(self) -> GatewayClient:
        """A client that may change it."""
        return GatewayClient(self.gateway.section(), self.gateway.admin_key)

    def admin_key(self) -> str:
        """A reference to the admin's key."""
        return secret(self.directory / "admin-key", self.gateway.admin_key)


def lines(text: str) -> dict[str, str]:
    """The state of each finding by name."""
    return {line[6:].partition(":")[0]: line[:4].strip() for line in text.splitlines() if line[:1] != " "}
