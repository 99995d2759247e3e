"""The keyring of a real desktop: gnome-keyring on a session bus of its own, by the library `keyring`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
import secretstorage
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection

from hoopjump.dev import programs
from hoopjump.dev.services import minimal_environment, wait_for
from tests.conftest import REQUIRED
from tests.identity.conftest import Laptop, browser
from tests.oidc.provider import Provider

SECRETS = "org.freedesktop.secrets"
PROMPTER = "org.gnome.keyring.SystemPrompter"


@dataclass(frozen=True, slots=True)
class Desktop:
    """A session bus with a keyring on it, unlocked as by a login."""

    bus: DBusConnection

    def kept(self) -> list[str]:
        """What is in the keyring."""
        collections = secretstorage.get_all_collections(self.bus)
        return [item.get_secret().decode() for collection in collections for item in collection.get_all_items()]

    def lock(self) -> None:
        """As after a while, or before the first login at the desktop."""
        secretstorage.get_default_collection(self.bus).lock()

    def take(self, name: str) -> None:
        """Be the service of a name, which never answers."""
        Proxy(message_bus, self.bus).RequestName(name)


@pytest.fixture
def desktop(laptop: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    """Somebody logged in at the desktop of the laptop; with all environment variables that says so."""
    try:
        found = [str(programs.find(name, f"usr/bin/{name}")) for name in ("dbus-daemon", "gnome-keyring-daemon")]
    except programs.ProgramMissingError as error:
        if REQUIRED:
            pytest.fail(str(error))
        pytest.skip(str(error))
    address = f"unix:path={tmp_path}/bus"
    for name in ("data", "runtime"):
        (tmp_path / name).mkdir(mode=0o700)
    own = {
        "HOME": str(laptop.home),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_RUNTIME_DIR": str(tmp_path / "runtime"),
        "DBUS_SESSION_BUS_ADDRESS": address,
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    environment = minimal_environment(**own)
    bus = [found[0], "--session", "--nofork", f"--address={address}", "--print-address=1"]
    keyring = [found[1], "--foreground", "--unlock", "--components=secrets"]
    with running(bus, environment) as (_, said):
        # It says where it listens once it does.
        assert said.readline()
        with running(keyring, environment) as (password, _), open_dbus_connection(address) as connection:
            password.write(b"the password of the login")
            password.close()
            names = Proxy(message_bus, connection)
            wait_for(lambda: names.NameHasOwner(SECRETS)[0], what="the keyring")
            yield Desktop(connection)


@contextmanager
def running(argv: list[str], environment: dict[str, str]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A process with its stdin and stdout; it ends with the block."""
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdin, process.stdout
        finally:
            process.terminate()


def hoopjump(*arguments: str, patience: float | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, since the library remembers its keyring; ``patience`` replaces 30 s."""
    script = "import sys, hoopjump.cli.main as m, hoopjump.identity.store as s\n"
    if patience is not None:
        script += f"s._UNLOCK_SECONDS = {patience}\n"
    return subprocess.run(
        [sys.executable, "-c", f"{script}m.main(sys.argv[1:])", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(programs.CHECKOUT)},
    )


def logged_in(laptop: Laptop, provider: Provider) -> None:
    """A login that leaves its tokens in the keyring."""
    laptop.configure(provider.issuer, store="auto")
    said = hoopjump("login", "--browser", browser())
    assert said.returncode == 0, said.stderr
    assert "no keyring" not in said.stderr


def test_tokens_are_in_the_keyring_and_nowhere_else(laptop: Laptop, provider: Provider, desktop: Desktop) -> None:
    """They are found there, used for the next login, and gone with the logout."""
    logged_in(laptop, provider)
    (kept,) = desktop.kept()
    assert "refresh_token" in kept
    assert not laptop.places.tokens.exists()
    assert "refresh_token" not in laptop.files()
    assert hoopjump("whoami").stdout.startswith("user         alice")
    laptop.places.state.unlink()
    again = hoopjump("login", "--if-needed", "--quiet")
    assert again.returncode == 0
    assert "log in" not in again.stderr
    assert hoopjump("logout").returncode == 0
    assert desktop.kept() == []


def test_a_locked_keyring_is_said_so_before_anybody_logs_in_for_nothing(
    laptop: Laptop, provider: Provider, desktop: Desktop
) -> None:
    """Where no window can ask for its password. A logout forgets the rest, and does not say that all is gone."""
    logged_in(laptop, provider)
    desktop.lock()
    for arguments in (("whoami",), ("login", "--browser", browser()), ("logout",)):
        said = hoopjump(*arguments)
        assert said.returncode == 1
        assert "the keyring is locked" in said.stderr
        assert "hint: unlock it" in said.stderr
        assert "log in here" not in said.stderr
    assert "not all is forgotten" in said.stderr
    assert not laptop.places.state.exists()


def test_a_prompt_that_nobody_sees_is_not_waited_for_for_ever(
    laptop: Laptop, provider: Provider, desktop: Desktop
) -> None:
    """The terminal says what is waited for, as ssh would otherwise hang without a word."""
    logged_in(laptop, provider)
    desktop.lock()
    desktop.take(PROMPTER)
    laptop.places.state.unlink()
    said = hoopjump("login", "--if-needed", "--quiet", patience=0.5)
    assert said.returncode == 1
    assert "waiting for the keyring, which may ask on this machine's desktop" in said.stderr
    assert "nobody has unlocked the keyring within 0.5 s" in said.stderr
