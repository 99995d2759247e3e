"""All together: a real provider, hoopjump-ca, sshd, and plain ssh that logs in when it must."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hoopjump.decision.certificate import read_certificate
from hoopjump.dev import programs
from hoopjump.dev.backend import DOMAIN
from hoopjump.dev.bastion import Bastion
from tests.ca.yard import URL, Yard
from tests.identity.conftest import Laptop, browser
from tests.oidc.provider import Provider

PEOPLE = {name: {"email": f"{name}@{DOMAIN}", "email_verified": True} for name in ("alice", "nobody")}


@dataclass(frozen=True, slots=True)
class Site:
    """What an administrator has set up."""

    bastion: Bastion
    provider: Provider
    ca: Yard

    @property
    def ca_url(self) -> str:
        """The URL of hoopjump-ca."""
        return f"https://localhost:{self.ca.port}"


@pytest.fixture(scope="module")
def site(bastion: Bastion, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A bastion that trusts the CA of a hoopjump-ca that trusts a provider."""
    directory = tmp_path_factory.mktemp("site")
    with Provider(directory, PEOPLE) as provider:
        ca = Yard(
            directory,
            {
                "[certificate]": f'ca_key = "file:{bastion.user_ca.key}"',
                "[[issuer]]": f'issuer = "{provider.issuer}"\naudiences = ["hoopjump"]\nkeys = "discovery"\n'
                'user_claim = "email"\nallow_http = true\nallow_private = true',
            },
        )
        ca.config.write_text(ca.config.read_text().replace(f'url = "{URL}"', f'url = "https://localhost:{ca.port}"'))
        with ca:
            yield Site(bastion, provider, ca)


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
    said = laptop.hoopjump("login", "--browser", browser(name), "--install", "--yes", "--ssh-config", path)
    assert said.status == 0, said.err


def test_plain_ssh_logs_in_when_it_must(laptop: Laptop, site: Site) -> None:
    """At first with a browser, then without anybody; and through the bastion to the gateway as well."""
    path = configured(laptop, site)
    installed(laptop, path)
    assert laptop.hoopjump("logout").status == 0
    first = ssh(path, "bastion", "mybash", "echo hello", person="alice")
    assert (first.returncode, first.stdout) == (0, "hello\n"), first.stderr
    assert "log in here" in first.stderr
    again = ssh(path, "bastion", "mybash", "echo again")
    assert (again.returncode, again.stdout) == (0, "again\n"), again.stderr
    assert "log in" not in again.stderr
    jumped = ssh(path, "-J", "bastion", "gateway", "mybash", "echo jumped")
    assert "jumped" in jumped.stdout, jumped.stderr
    certificate = read_certificate(laptop.settings.certificate.read_bytes())
    assert certificate.principals == (f"alice@{DOMAIN}",)
    assert certificate.valid_before <= laptop.stored()["access_ends"] + 60
    assert site.ca.events()[-1]["user"] == f"alice@{DOMAIN}"


def test_a_token_is_embedded_when_asked_for(laptop: Laptop, site: Site) -> None:
    """One of hoopjump-ca's own, and not the provider's."""
    path = configured(laptop, site, embed_token=True)
    installed(laptop, path)
    line = laptop.settings.certificate.read_bytes()
    certificate = read_certificate(line)
    (embedded,) = [data for name, data in certificate.extensions if name == "jwt@hoopjump"]
    assert laptop.stored()["id_token"].encode() not in embedded
    done = ssh(path, "bastion", "mybash", "echo hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


def test_whoever_the_gateway_does_not_know_is_logged_in_and_not_let_in(laptop: Laptop, site: Site) -> None:
    """A login at the provider is not all that the bastion asks for."""
    path = configured(laptop, site)
    installed(laptop, path, "nobody")
    done = ssh(path, "bastion", "mybash", "echo hello")
    assert done.returncode == 77
    assert f"does not know a user 'nobody@{DOMAIN}'" in done.stderr


def test_after_a_logout_ssh_asks_again_or_fails(laptop: Laptop, site: Site) -> None:
    """Without a browser and without the device flow approved in time, ssh says why it gets no further."""
    path = configured(laptop, site, timeout=10)
    installed(laptop, path)
    assert laptop.hoopjump("logout").status == 0
    assert not laptop.settings.certificate.exists()
    done = ssh(path, "bastion", "mybash", "echo hello")
    assert done.returncode == 255
    assert "open http" in done.stderr
    assert "nobody has typed the code" in done.stderr


def test_a_token_for_another_client_gets_no_certificate(laptop: Laptop, site: Site) -> None:
    """hoopjump-ca takes tokens for its audiences only, and the sentence is its own."""
    configured(laptop, site, client_id="hoopjump-rsa")
    said = laptop.hoopjump("login", "--browser", browser())
    assert said.status == 1
    assert "token-wrong-audience" in said.err
    assert not laptop.settings.certificate.exists()
