"""All together: a real provider, hoopjump-ca, sshd, and plain ssh that logs in when it must."""

from __future__ import annotations

from hoopjump.decision.certificate import read_certificate
from hoopjump.dev.backend import DOMAIN
from tests.identity.conftest import Laptop, Site, browser
from tests.identity.plain_ssh import configured, installed, ssh


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
