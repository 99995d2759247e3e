"""What is kept of a login between two: where, for whose eyes, and when it is used again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from hoopjump.identity.errors import IdentityError
from hoopjump.identity.login import Manner, log_in
from tests.identity.attempts import accepted
from tests.identity.conftest import Laptop, Somebody
from tests.identity.fake_provider import FakeProvider


def test_tokens_are_in_a_file_of_mode_0600_in_a_directory_of_mode_0700(laptop: Laptop, fake: FakeProvider) -> None:
    """Whatever the umask is."""
    before = os.umask(0)
    try:
        accepted(laptop, fake)
    finally:
        os.umask(before)
    directory = laptop.home / ".local" / "state" / "hoopjump"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert laptop.places.tokens.is_relative_to(directory)


def open_to_others(path: Path) -> None:
    """The mode that a careless copy has."""
    path.chmod(0o644)


def link(path: Path) -> None:
    """The file lies elsewhere, and a link in its place."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def pipe(path: Path) -> None:
    """Nothing that can be read to its end."""
    path.unlink()
    os.mkfifo(path, 0o600)


def open_directory(path: Path) -> None:
    """Others may look into the directory, and replace what is there."""
    path.parent.chmod(0o777)


@pytest.mark.parametrize("harm", [open_to_others, link, pipe, open_directory])
def test_a_store_that_others_may_have_touched_is_not_believed(
    laptop: Laptop, fake: FakeProvider, harm: Callable[[Path], None]
) -> None:
    """One sentence with what to do about it; nothing is asked of the provider with it."""
    accepted(laptop, fake)
    laptop.places.state.unlink()
    asked = len(fake.asked)
    harm(laptop.places.tokens)
    said = laptop.hoopjump("login", "--if-needed", "--quiet")
    assert said.status == 1
    assert "hint:" in said.err
    assert len(fake.asked) == asked
    if harm is not open_directory:
        assert laptop.hoopjump("whoami").status == 1


def test_logout_removes_a_store_that_others_may_have_read(laptop: Laptop, fake: FakeProvider) -> None:
    """All the more."""
    accepted(laptop, fake)
    laptop.places.tokens.chmod(0o644)
    assert laptop.hoopjump("logout").status == 0
    assert not laptop.places.tokens.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_somebody_elses_file_is_not_believed(laptop: Laptop, fake: FakeProvider) -> None:
    """Whoever put it there would choose as whom one is logged in."""
    accepted(laptop, fake)
    os.chown(laptop.places.tokens, 12345, 12345)
    said = laptop.hoopjump("whoami")
    assert said.status == 1
    assert "belongs to uid 12345" in said.err


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"id_token":"a.b.c"}', b"{" * 5000])
def test_a_damaged_store_is_as_good_as_none(laptop: Laptop, fake: FakeProvider, content: bytes) -> None:
    """A new login mends it."""
    accepted(laptop, fake)
    laptop.places.tokens.write_bytes(content)
    laptop.places.state.write_bytes(content)
    assert laptop.hoopjump("whoami").status == 1
    somebody = Somebody()
    log_in(laptop.settings, laptop.places, Manner(somebody, if_needed=True))
    somebody.finish()
    assert laptop.hoopjump("whoami").status == 0


def test_tokens_of_another_client_are_not_used(laptop: Laptop, fake: FakeProvider) -> None:
    """When login.toml names another one since."""
    accepted(laptop, fake)
    laptop.configure(fake.issuer, client_id="another")
    assert laptop.hoopjump("whoami").status == 1


def test_settings_that_others_may_write_are_refused(laptop: Laptop, fake: FakeProvider) -> None:
    """They say who one is, and where tokens are sent."""
    laptop.configure(fake.issuer)
    laptop.settings_file.chmod(0o666)
    assert "writable by others" in laptop.hoopjump("login").err


def test_a_mistyped_setting_is_named_with_its_line(laptop: Laptop) -> None:
    """By the reader of all our files."""
    laptop.configure("https://idp.example.com", tokne="id")
    said = laptop.hoopjump("login")
    assert said.status == 2
    assert f"{laptop.settings_file}:5: unknown key `tokne`" in said.err
    assert "did you mean `token`?" in said.err


# -- The keyring ------------------------------------------------------------------------------------------------------


class Keyring:
    """The functions of the library ``keyring`` that are used, with a backend of some quality."""

    def __init__(self, priority: float) -> None:
        self.priority = priority
        self.entries: dict[tuple[str, str], str] = {}

    def get_keyring(self) -> SimpleNamespace:
        return SimpleNamespace(priority=self.priority)

    def get_password(self, service: str, name: str) -> str | None:
        return self.entries.get((service, name))

    def set_password(self, service: str, name: str, text: str) -> None:
        self.entries[service, name] = text

    def delete_password(self, service: str, name: str) -> None:
        del self.entries[service, name]


def test_a_keyring_that_encrypts_is_preferred(
    laptop: Laptop, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No token is in any file then, and logout empties it."""
    keyring = Keyring(5)
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    accepted(laptop, fake, store="auto")
    assert len(keyring.entries) == 1
    assert "refresh-1" not in laptop.files()
    assert laptop.hoopjump("whoami").status == 0
    assert laptop.hoopjump("logout").status == 0
    assert keyring.entries == {}


def test_a_keyring_that_fails_or_keeps_in_clear_is_none(
    laptop: Laptop, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` takes the file then, `keyring` nothing."""
    monkeypatch.setitem(sys.modules, "keyring", Keyring(0.5))
    accepted(laptop, fake, store="auto")
    assert laptop.places.tokens.exists()
    laptop.configure(fake.issuer, store="keyring")
    with pytest.raises(IdentityError) as error:
        log_in(laptop.settings, laptop.places, Manner(Somebody()))
    assert error.value.code == "store-unsafe"


def test_without_a_keyring_it_is_said_where_tokens_are(
    laptop: Laptop, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one was to be expected; whoever wants the file, or no talk, is not told."""
    monkeypatch.setitem(sys.modules, "keyring", Keyring(0))
    fake.invitation = {"interval": 1}
    laptop.configure(fake.issuer, store="auto")
    assert f"tokens are kept in {laptop.places.tokens}" in laptop.hoopjump("login", "--device").err
    assert "kept in" not in laptop.hoopjump("login", "--device", "--quiet").err
    laptop.configure(fake.issuer, store="file")
    assert "kept in" not in laptop.hoopjump("login", "--device").err


def test_a_keyring_that_comes_takes_the_tokens_out_of_the_file(
    laptop: Laptop, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next login; a logout before that finds them where they are, and has them revoked."""
    for end in ("login", "logout"):
        monkeypatch.setitem(sys.modules, "keyring", Keyring(0))
        accepted(laptop, fake, store="auto")
        assert laptop.places.tokens.exists()
        keyring = Keyring(5)
        monkeypatch.setitem(sys.modules, "keyring", keyring)
        if end == "login":
            accepted(laptop, fake, store="auto")
            assert len(keyring.entries) == 1
        else:
            assert laptop.hoopjump("logout").status == 0
            assert fake.asks("/revoke")
        assert not laptop.places.tokens.exists()


def test_a_keyring_out_of_reach_is_not_taken_for_nothing(
    laptop: Laptop, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over ssh on the same machine; neither does a logout say that the tokens are gone."""
    keyring = Keyring(5)
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    accepted(laptop, fake, store="auto", ca_url=fake.issuer)
    monkeypatch.setitem(sys.modules, "keyring", Keyring(0))
    for command in ("whoami", "logout"):
        said = laptop.hoopjump(command, "--json")
        assert said.status == 1
        assert json.loads(said.out)["reason"] == "store-locked"
        assert "in the keyring, which is out of reach here" in said.err
    assert not laptop.settings.certificate.exists()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    assert laptop.hoopjump("logout").status == 0
    assert keyring.entries == {}


# -- When it is used again --------------------------------------------------------------------------------------------


def test_nothing_is_done_while_everything_holds(laptop: Laptop, fake: FakeProvider) -> None:
    """The provider is not asked, and nothing is loaded that only a login, an agent or a mistake needs."""
    accepted(laptop, fake, ca_url=fake.issuer)
    asked = len(fake.asked)
    script = (
        "import sys, hoopjump.cli.main as m\n"
        "try: m.main(['login', '--quiet', '--if-needed'])\n"
        "except SystemExit as end: status = end.code\n"
        "heavy = {'pydantic', 'requests', 'cryptography', 'msgspec', 'socket', 'tempfile', 'difflib'}\n"
        "print(status, sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("0 []\n", "")
    assert len(fake.asked) == asked


@pytest.mark.parametrize("what", ["certificate", "key", "settings", "end"])
def test_whatever_is_gone_or_changed_is_got_again(laptop: Laptop, fake: FakeProvider, what: str) -> None:
    """Without a person, as long as the provider's token holds."""
    accepted(laptop, fake, ca_url=fake.issuer)
    key = laptop.settings.key
    match what:
        case "certificate":
            laptop.settings.certificate.write_text("something else\n")
        case "key":
            key.unlink()
            laptop.settings.public_key.unlink()
        case "settings":
            laptop.configure(fake.issuer, ca_url=fake.issuer, timeout=31)
        case "end":
            state = json.loads(laptop.places.state.read_text())
            laptop.places.state.write_text(json.dumps({**state, "ends": state["ends"] - fake.life + 60}))
    said = laptop.hoopjump("login", "--quiet", "--if-needed")
    assert (said.status, said.out, said.err) == (0, "", "")
    assert len(fake.certificates_asked) == 2
    assert json.loads(laptop.hoopjump("whoami", "--json").out)["valid"] is True


def test_whoami_says_when_the_login_has_ended(
    laptop: Laptop, fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 1, and the rest is shown all the same."""
    fake.life = 3600
    accepted(laptop, fake, ca_url=fake.issuer)
    later = time.time() + 3601
    monkeypatch.setattr("time.time", lambda: later)
    said = laptop.hoopjump("whoami")
    assert said.status == 1
    assert "alice@example.com" in said.out
    assert "the login has ended" in said.err
    assert json.loads(laptop.hoopjump("whoami", "--json").out)["reason"] == "login-needed"


def test_whoami_says_what_else_is_missing(laptop: Laptop, fake: FakeProvider) -> None:
    """A certificate that is not there is no end of the login."""
    accepted(laptop, fake, ca_url=fake.issuer)
    laptop.settings.certificate.unlink()
    said = laptop.hoopjump("whoami")
    assert said.status == 1
    assert "the login has no certificate" in said.err
    assert "`hoopjump login --if-needed` gets what is missing" in said.err
    told = json.loads(laptop.hoopjump("whoami", "--json").out)
    assert (told["valid"], told["reason"], told["sentence"]) == (False, "login-needed", "the login has no certificate")


@pytest.mark.parametrize("command", ["login", "logout", "whoami"])
def test_a_file_in_the_way_is_told_in_json_as_well(laptop: Laptop, fake: FakeProvider, command: str) -> None:
    """Scripts read a stable reason, people the file's name."""
    laptop.configure(fake.issuer)
    state = laptop.places.directory.parent
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text("a file")
    said = laptop.hoopjump(command, "--json", *(["--device"] if command == "login" else []))
    assert (said.status, json.loads(said.out)["reason"]) == (1, "file-unusable")
    assert str(state) in said.err


def test_a_directory_in_the_place_of_the_tokens_is_told_by_its_name(laptop: Laptop, fake: FakeProvider) -> None:
    """And not by the number of a descriptor."""
    accepted(laptop, fake)
    laptop.places.tokens.unlink()
    laptop.places.tokens.mkdir(mode=0o700)
    said = laptop.hoopjump("whoami", "--json")
    assert (said.status, json.loads(said.out)["reason"]) == (1, "store-unsafe")
    assert f"{laptop.places.tokens} is not a file of ours" in said.err
