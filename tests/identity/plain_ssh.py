"""Plain ssh on a laptop, with the block of `hoopjump login --install`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from hoopjump.dev import programs
from tests.identity.conftest import Laptop, Site, browser


def configured(laptop: Laptop, site: Site, **values: object) -> Path:
    """The laptop's ssh configuration, with the block that was installed."""
    usual: dict[str, object] = {
        "ca_url": site.ca_url,
        "ca_file": str(site.ca.directory / "tls.pem"),
        "user_claim": "email",
        "hosts": ["bastion", "gateway"],
    }
    laptop.configure(site.provider.issuer, **{**usual, **values})
    path = laptop.home / ".ssh" / "config"
    theirs = site.bastion.client_config(site.bastion.certificate()).read_text().splitlines()
    path.write_text(
        "".join(f"{line}\n" for line in theirs if "IdentityFile" not in line and "CertificateF" not in line)
    )
    return path


def ssh(path: Path, *arguments: str, person: str | None = None) -> subprocess.CompletedProcess[str]:
    """Plain ssh; ``person`` sits at the browser."""
    return subprocess.run(
        [str(programs.ssh()), "-F", str(path), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **({"BROWSER": f"{browser(person)} %s"} if person else {})},
    )


def installed(laptop: Laptop, path: Path, name: str = "alice") -> None:
    """Log in, with the block written into the configuration."""
    said = laptop.hoopjump("login", "--browser", browser(name), "--install", "--yes", "--ssh-config", path)
    assert said.status == 0, said.err
