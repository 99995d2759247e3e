"""Dropped keys stay dropped, over restarts and whatever becomes of their file, until somebody takes that back."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hoopjump.config import TokenIssuerSection
from hoopjump.decision.jose import TokenError
from hoopjump.errors import HoopjumpError
from hoopjump.keys.aside import KeysAside
from hoopjump.keys.dropped import DROPPED_KEYS, FILE_LIMIT, Dropped, DroppedKeys
from hoopjump.keys.kept import KeptSets
from hoopjump.keys.keysets import KeySets
from tests.keys.provider import Provider, TokenKey


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "lasting"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def section(idp: Provider) -> TokenIssuerSection:
    return TokenIssuerSection.model_validate(idp.section())


@pytest.fixture
def keysets(section: TokenIssuerSection, directory: Path) -> KeySets:
    """A service that knows the provider's keys."""
    made = start(section, directory)
    made.refresh(section.issuer)
    return made


def start(section: TokenIssuerSection, directory: Path) -> KeySets:
    return KeySets([section], DroppedKeys(directory), KeptSets(directory))


def outcome(keysets: KeySets, token: bytes) -> str:
    try:
        return keysets.verify(token, time.time()).user
    except TokenError as error:
        return error.reason.code


def test_a_drop_outlasts_the_service_also_while_the_key_is_gone(
    keysets: KeySets, section: TokenIssuerSection, directory: Path, idp: Provider
) -> None:
    """A provider that publishes a stolen key again, years later, gets nobody in."""
    token, stolen = idp.token(), idp.key
    keysets.drop("first")
    idp.keys[:] = [TokenKey("second")]
    again = start(section, directory)
    again.refresh(idp.issuer)
    assert outcome(again, token) == "token-key-unknown"
    idp.keys.append(stolen)
    assert outcome(start(section, directory), token) == "token-key-dropped"


def test_a_drop_holds_from_the_first_moment_of_a_start_on(
    keysets: KeySets, section: TokenIssuerSection, directory: Path, idp: Provider
) -> None:
    """With the keys that were kept, before anybody has answered."""
    token = idp.token()
    keysets.drop("first")
    idp.down = True
    with pytest.raises(TokenError, match="token-key-dropped"):
        start(section, directory).verify_known(token, time.time())


def test_a_drop_is_taken_back_after_a_restart_and_for_good(
    keysets: KeySets, section: TokenIssuerSection, directory: Path, idp: Provider
) -> None:
    """By the thumbprint too."""
    keysets.drop("first")
    assert start(section, directory).restore(idp.key.thumbprint) == [idp.issuer]
    assert outcome(start(section, directory), idp.token()) == "auth0|alice"


def test_a_drop_of_a_key_that_has_left_is_shown_and_can_be_taken_back(keysets: KeySets, idp: Provider) -> None:
    """Else nobody would know of it."""
    keysets.drop("first")
    idp.keys[:] = [TokenKey("second")]
    keysets.refresh(idp.issuer)
    shown = [(key["kid"], key["dropped"], key["in_set"]) for key in keysets.rows()[0]["keys"]]
    assert shown == [("second", False, True), ("first", True, False)]
    assert keysets.restore("first") == [idp.issuer]
    assert [key["kid"] for key in keysets.rows()[0]["keys"]] == ["second"]


# -- From outside ----------------------------------------------------------------------------------------------------


def test_a_change_from_outside_counts_from_the_next_token_on(
    keysets: KeySets, section: TokenIssuerSection, directory: Path, idp: Provider
) -> None:
    """Also for one that was verified a moment before; both ways, by name, and nothing is asked for it."""
    token, asked = idp.token(), idp.asked()
    aside = KeysAside([section], directory)
    for _ in range(3):
        assert outcome(keysets, token) == "auth0|alice"
        assert aside.drop("first") == [idp.issuer]
        assert outcome(keysets, token) == "token-key-dropped"
        assert [key["dropped"] for key in keysets.rows()[0]["keys"]] == [True]
        assert aside.restore("first") == [idp.issuer]
    assert outcome(keysets, token) == "auth0|alice"
    assert idp.asked() == asked


def test_a_dropped_key_is_known_outside_by_its_thumbprint(
    keysets: KeySets, section: TokenIssuerSection, directory: Path, idp: Provider
) -> None:
    """The service has written down what it knows."""
    assert KeysAside([section], directory).drop(idp.key.thumbprint) == [idp.issuer]
    idp.key.kid = "renamed"
    keysets.refresh(idp.issuer)
    assert outcome(keysets, idp.token()) == "token-key-dropped"


def test_outside_nothing_is_dropped_by_a_slip(
    keysets: KeySets, section: TokenIssuerSection, directory: Path, idp: Provider
) -> None:
    """A name that no issuer has."""
    aside = KeysAside([section], directory)
    assert (aside.drop("firts"), aside.restore("first")) == ([], [])
    assert not (directory / DROPPED_KEYS).exists()
    assert outcome(keysets, idp.token()) == "auth0|alice"


def test_a_link_in_the_place_of_the_list_is_replaced_and_not_written_through(
    keysets: KeySets, section: TokenIssuerSection, directory: Path, idp: Provider, tmp_path: Path
) -> None:
    """A service that somebody has taken over could have root write anywhere."""
    assert outcome(keysets, idp.token()) == "auth0|alice"
    (directory / DROPPED_KEYS).symlink_to(tmp_path / "victim")
    KeysAside([section], directory).drop("first")
    assert not (tmp_path / "victim").exists()
    assert not (directory / DROPPED_KEYS).is_symlink()
    assert outcome(keysets, idp.token()) == "token-key-dropped"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to somebody else needs root")
def test_what_root_drops_can_be_read_by_the_service(
    keysets: KeySets, section: TokenIssuerSection, directory: Path
) -> None:
    """The list belongs to the owner of the directory, and root reads what that has written."""
    for path in (directory, *directory.iterdir()):
        os.chown(path, 12345, 12346)
    assert KeysAside([section], directory).drop("first") == [section.issuer]
    status = (directory / DROPPED_KEYS).stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 12346, 0o600)
    assert [key["dropped"] for key in KeysAside([section], directory).rows()[0]["keys"]] == [True]


# -- The file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["no list", "too large", "open to others", "directory open to others", "a directory"])
def test_while_the_list_cannot_be_read_all_tokens_are_refused_loudly(
    keysets: KeySets, directory: Path, idp: Provider, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Any key may be on it; it stops a start as well, and once it can be read all is well."""
    token, path = idp.token(), directory / DROPPED_KEYS
    assert outcome(keysets, token) == "auth0|alice"
    if harm == "a directory":
        path.mkdir()
    else:
        path.write_text({"no list": "{", "too large": " " * FILE_LIMIT + "[]"}.get(harm, "[]"))
        path.chmod(0o666 if harm == "open to others" else 0o600)
        directory.chmod(0o777 if harm.startswith("directory") else 0o700)
    with caplog.at_level(logging.ERROR):
        assert [outcome(keysets, token) for _ in range(3)] == ["token-key-dropped"] * 3
    assert [record.levelname for record in caplog.records if "nobody knows which keys" in record.message] == ["ERROR"]
    with pytest.raises(HoopjumpError):
        DroppedKeys(directory)
    with pytest.raises(HoopjumpError, match="nobody knows which keys were dropped"):
        keysets.drop("first")
    assert [key["dropped"] for key in keysets.rows()[0]["keys"]] == [True]
    directory.chmod(0o700)
    if harm == "a directory":
        path.rmdir()
    path.write_text("[]")
    path.chmod(0o600)
    assert outcome(keysets, token) == "auth0|alice"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to somebody else needs root")
def test_a_list_of_somebody_else_is_none(directory: Path) -> None:
    """Whoever could write it could take drops back."""
    path = directory / DROPPED_KEYS
    path.write_text("[]")
    os.chown(path, 12345, 12345)
    with pytest.raises(HoopjumpError, match="can be written by others"):
        DroppedKeys(directory)


def test_a_drop_that_cannot_be_written_down_counts_until_the_service_ends(
    keysets: KeySets, section: TokenIssuerSection, directory: Path, idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is told as such; once there is room it can be said again."""
    token = idp.token()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hoopjump.keys.files.os.fsync", full)
        with pytest.raises(HoopjumpError, match="until the next restart only: No space left"):
            keysets.drop("first")
    assert outcome(keysets, token) == "token-key-dropped"
    assert outcome(start(section, directory), token) == "auth0|alice"
    assert keysets.drop("first") == [idp.issuer]
    assert outcome(start(section, directory), token) == "token-key-dropped"


def test_a_list_that_goes_away_takes_no_drop_back(
    keysets: KeySets, section: TokenIssuerSection, directory: Path, idp: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """A file system that is not there, or a clean-up, is nobody's decision; a list that is there again counts."""
    keysets.drop("first")
    away = directory.with_name("away")
    directory.rename(away)
    with caplog.at_level(logging.ERROR):
        assert [outcome(keysets, idp.token()) for _ in range(3)] == ["token-key-dropped"] * 3
    assert [record.message for record in caplog.records if "is gone; its 1 keys stay dropped" in record.message]
    assert len(caplog.records) == 1
    away.rename(directory)
    assert outcome(keysets, idp.token()) == "token-key-dropped"
    KeysAside([section], directory).restore("first")
    assert outcome(keysets, idp.token()) == "auth0|alice"


def test_the_list_has_an_end_and_says_so(directory: Path) -> None:
    """What is on it stays, what is dropped all the same counts for as long as the service runs."""
    dropped = DroppedKeys(directory)
    many = frozenset(Dropped("https://idp.example.com", f"key-{number}", "x" * 43) for number in range(300))
    dropped.add(many)
    one_more = Dropped("https://idp.example.com", "x" * FILE_LIMIT, "")
    with pytest.raises(HoopjumpError, match="dropped keys is full: it counts until the next restart only") as caught:
        dropped.add(frozenset({one_more}))
    assert "--undo" in caught.value.hint
    assert DroppedKeys(directory).current() == many
    assert dropped.current() == many | {one_more}
    assert (directory / DROPPED_KEYS).stat().st_size < FILE_LIMIT
    assert len(json.loads((directory / DROPPED_KEYS).read_text())) == 300


def test_nobody_who_can_only_read_holds_up_a_drop(
    section: TokenIssuerSection, keysets: KeySets, directory: Path
) -> None:
    """Everybody may read a unit's StateDirectory=, and that is enough to hold a lock on it for ever (flock(2))."""
    directory.chmod(0o755)
    aside = KeysAside([section], directory)
    with ThreadPoolExecutor(1) as administrator:
        held = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert administrator.submit(aside.drop, "first").result(60) == [section.issuer]
        finally:
            os.close(held)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in directory.iterdir())
