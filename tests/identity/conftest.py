"""Somebody's laptop: a home of its own, settings, a browser; and the providers to log in at."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from hoopjump.dev import programs
from hoopjump.dev.backend import DOMAIN
from hoopjump.dev.bastion import Bastion
from hoopjump.identity.device_flow import Invitation
from hoopjump.identity.settings import LoginSettings, read_settings
from hoopjump.identity.state import Places
from tests.ca.yard import URL, Yard
from tests.cli.conftest import Run, Said, hoopjump
from tests.identity.fake_provider import FakeProvider
from tests.oidc.provider import Provider

__all__ = ["hoopjump"]


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """The real provider, which all tests share and nobody changes."""
    with Provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    """A provider that does wrong what it is told to."""
    with FakeProvider() as running:
        yield running


@dataclass(frozen=True, slots=True)
class Laptop:
    """A home directory, and `hoopjump` in it."""

    home: Path
    run: Run

    @property
    def settings_file(self) -> Path:
        """login.toml."""
        return self.home / ".config" / "hoopjump" / "login.toml"

    @property
    def places(self) -> Places:
        """Where the login's files are."""
        return Places.of(self.settings_file, {})

    @property
    def settings(self) -> LoginSettings:
        """The settings, read."""
        return read_settings(self.settings_file, {})

    def configure(self, issuer: str, **values: Any) -> None:
        """Write login.toml, for tokens in a file."""
        usual = {"issuer": issuer, "client_id": "hoopjump", "allow_http": True, "store": "file"}
        # JSON's strings, numbers, booleans and lists are also TOML's.
        lines = [f"{key} = {json.dumps(value)}" for key, value in {**usual, **values}.items()]
        self.settings_file.parent.mkdir(parents=True, exist_ok=True)
        self.settings_file.write_text("\n".join(lines) + "\n")
        self.settings_file.chmod(0o644)

    def hoopjump(self, *arguments: str | Path) -> Said:
        """Run a command."""
        return self.run(*arguments)

    def stored(self) -> dict[str, Any]:
        """The tokens, as they are kept."""
        found = json.loads(self.places.tokens.read_bytes())
        assert isinstance(found, dict)
        return found

    def files(self) -> str:
        """Everything that lies about, to look for what must not."""
        texts = [path.read_text(errors="replace") for path in self.home.rglob("*") if path.is_file()]
        return "\n".join(texts)


@pytest.fixture
def laptop(tmp_path: Path, hoopjump: Run, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    """A laptop whose home is empty; no desktop, no keyring, no agent, no browser."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    theirs = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "SSH_AUTH_SOCK", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    for name in (*theirs, "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    return Laptop(home, hoopjump)


def browser(name: str = "alice") -> str:
    """A command for ``--browser``, with somebody in front of it."""
    return f"env PYTHONPATH={programs.CHECKOUT} PYTHONDONTWRITEBYTECODE=1 {sys.executable} -m tests.oidc.browse {name}"


@dataclass(slots=True)
class Somebody:
    """A prompt, and who does what it asks for: opens the page, unless ``act`` does something else."""

    act: Callable[[str], object] = lambda url: requests.get(url, timeout=30)
    pages: list[str] = field(default_factory=list)
    invitations: list[Invitation] = field(default_factory=list)
    browses: bool = True
    _threads: list[threading.Thread] = field(default_factory=list)

    def can_browse(self) -> bool:
        return self.browses

    def page(self, url: str) -> None:
        self.pages.append(url)
        thread = threading.Thread(target=self.act, args=(url,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def invitation(self, invitation: Invitation) -> None:
        self.invitations.append(invitation)

    def say(self, text: str) -> None:
        raise AssertionError(f"nothing is to be waited for: {text}")

    def finish(self) -> None:
        """Wait until the last page has been seen."""
        for thread in self._threads:
            thread.join(30)


# -- A whole site ------------------------------------------------------------------------------------------------------

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


@pytest.fixture(scope="session")
def site(bastion: Bastion, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A bastion that trusts the CA of a hoopjump-ca that trusts a provider, and gives whatever is asked for."""
    directory = tmp_path_factory.mktemp("site")
    with Provider(directory, PEOPLE) as provider:
        ca = Yard(
            directory,
            {
                "[certificate]": f'ca_key = "file:{bastion.user_ca.key}"',
                "[[issuer]]": f'issuer = "{provider.issuer}"\naudiences = ["hoopjump"]\nkeys = "discovery"\n'
                'user_claim = "email"\nallow_http = true\nallow_private = true',
                "[limits]": "per_source = 100000\nper_user = 100000",
            },
        )
        ca.config.write_text(ca.config.read_text().replace(f'url = "{URL}"', f'url = "https://localhost:{ca.port}"'))
        with ca:
            yield Site(bastion, provider, ca)
