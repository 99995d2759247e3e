"""The last good keys outlast a restart: they are kept as long as without it, and nobody else's word is believed."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hoopjump.config import TokenIssuerSection
from hoopjump.decision.jose import TokenError
from hoopjump.decision.jwk import SET_LIMIT
from hoopjump.keys.kept import FILE_LIMIT, KeptSets
from hoopjump.keys.keysets import KeySets
from tests.keys.provider import JWKS, Answer, Provider, TokenKey

FRESH, KEPT = 300, 3600  # the provider's max-age, and the issuer's `kept` by default


class Machine:
    """Two clocks that stand until they are told to go on, and a service that is started again and again."""

    def __init__(self, idp: Provider, directory: Path) -> None:
        self.idp = idp
        self.directory = directory
        self.wall = 1_800_000_000.0
        self.steady = 5000.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def reboot(self, seconds: float) -> None:
        """Be off for so long."""
        self.wall += seconds
        self.steady = 20.0

    def start(self, **changes: Any) -> KeySets:
        """The service, which has asked nobody yet."""
        section = TokenIssuerSection.model_validate(self.idp.section(**changes))
        kept = KeptSets(self.directory, lambda: self.wall)
        return KeySets([section], kept=kept, clock=lambda: self.steady)

    def file(self) -> Path:
        """The one file that is there."""
        (path,) = self.directory.iterdir()
        return path

    def change(self, **changes: Any) -> None:
        """What the file says."""
        path = self.file()
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def machine(idp: Provider, tmp_path: Path) -> Machine:
    directory = tmp_path / "lasting"
    directory.mkdir(mode=0o700)
    return Machine(idp, directory)


@pytest.fixture
def token(idp: Provider) -> bytes:
    """One that holds all day."""
    return idp.token(exp=int(time.time()) + 86400)


@pytest.fixture
def known(machine: Machine, idp: Provider) -> Machine:
    """The service has had an answer, and is gone; so is the provider."""
    machine.start().refresh(idp.issuer)
    idp.down = True
    return machine


def outcome(keysets: KeySets, token: bytes) -> str:
    """The user, or the code of the refusal, with the keys at hand."""
    try:
        return keysets.verify_known(token, time.time()).user
    except TokenError as error:
        return error.reason.code


def not_believed(machine: Machine, token: bytes, caplog: pytest.LogCaptureFixture, why: str, **changes: Any) -> None:
    """A start without keys, and that it is told."""
    caplog.clear()
    assert outcome(machine.start(**changes), token) == "token-keys-unavailable"
    (record,) = [record for record in caplog.records if "are not believed" in record.message]
    assert record.levelno == logging.WARNING
    assert why in record.message, record.message


# -- How long --------------------------------------------------------------------------------------------------------


def test_keys_are_there_after_a_restart_while_the_provider_is_down(known: Machine, idp: Provider, token: bytes) -> None:
    """Before it has been asked, and when it has not answered."""
    known.passes(FRESH)
    keysets = known.start()
    assert outcome(keysets, token) == "auth0|alice"
    keysets.refresh(idp.issuer)
    assert outcome(keysets, token) == "auth0|alice"
    (row,) = keysets.rows()
    assert (row["state"], row["age"], [key["kid"] for key in row["keys"]]) == ("kept", FRESH, ["first"])


def test_restarts_do_not_prolong_the_time_that_keys_are_kept(known: Machine, idp: Provider, token: bytes) -> None:
    """It counts from the first failure, whichever process saw that, and ends when the provider is back."""
    known.passes(240)
    known.start().refresh(idp.issuer)
    for _ in range(11):
        known.passes(300)
        keysets = known.start()
        keysets.refresh(idp.issuer)
        assert outcome(keysets, token) == "auth0|alice"
    known.passes(299)
    assert outcome(known.start(), token) == "auth0|alice"
    known.passes(1)
    keysets = known.start()
    assert outcome(keysets, token) == "token-keys-unavailable"
    keysets.refresh(idp.issuer)
    assert outcome(keysets, token) == "token-keys-unavailable"
    assert keysets.rows()[0]["state"] == "refused"
    idp.down = False
    keysets.refresh(idp.issuer)
    assert outcome(keysets, token) == "auth0|alice"


def test_where_no_failure_was_seen_it_counts_from_when_the_keys_were_no_longer_fresh(
    known: Machine, idp: Provider, token: bytes
) -> None:
    """A machine that was off could not ask; its first question fails hours later."""
    known.reboot(FRESH + KEPT - 1)
    keysets = known.start()
    keysets.refresh(idp.issuer)
    assert outcome(keysets, token) == "auth0|alice"
    known.passes(1)
    assert outcome(keysets, token) == "token-keys-unavailable"
    assert outcome(known.start(), token) == "token-keys-unavailable"


def test_how_long_is_for_the_configuration_of_today(known: Machine, token: bytes) -> None:
    """`kept` of the start that asks."""
    known.passes(FRESH + 60)
    assert outcome(known.start(kept=59), token) == "token-keys-unavailable"
    assert outcome(known.start(kept=61), token) == "auth0|alice"


def test_the_provider_is_asked_at_once_and_its_answer_counts(known: Machine, idp: Provider, token: bytes) -> None:
    """A start waits for it: a key that was taken out meanwhile verifies nothing."""
    idp.down = False
    idp.keys[:] = [TokenKey("second")]
    # An answer is told from the kept one by its moment.
    known.passes(1)
    keysets = known.start()
    keysets.start(60)
    keysets.stop()
    assert outcome(keysets, token) == "token-key-unknown"
    assert outcome(keysets, idp.token()) == "auth0|alice"
    assert outcome(known.start(), token) == "token-key-unknown"


def test_a_start_waits_for_no_longer_than_the_provider_takes_to_fail(known: Machine, idp: Provider) -> None:
    """Its failure is told."""
    keysets = known.start()
    keysets.start(600)
    keysets.stop()
    assert keysets.rows()[0]["fault"] is not None


# -- Clocks ----------------------------------------------------------------------------------------------------------


def test_keys_of_a_moment_to_come_are_not_believed(
    known: Machine, token: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock was set back, and nobody knows how old they are."""
    known.wall -= 1
    not_believed(known, token, caplog, "a moment to come")
    known.wall += 2
    assert outcome(known.start(), token) == "auth0|alice"


def test_a_clock_that_was_set_back_makes_no_keys_younger(known: Machine, idp: Provider, token: bytes) -> None:
    """The machine's steady clock has gone on, since the last answer and not since the last failure."""
    known.passes(1000)
    known.start().refresh(idp.issuer)
    known.passes(FRESH + KEPT - 1000)
    known.wall -= FRESH + KEPT - 10
    assert outcome(known.start(), token) == "token-keys-unavailable"


def test_a_clock_that_was_set_back_before_a_reboot_hides_no_time_since(known: Machine, token: bytes) -> None:
    """The machine has been up for longer than the calendar says."""
    known.reboot(10)
    known.steady = FRESH + KEPT
    assert outcome(known.start(), token) == "token-keys-unavailable"


def test_a_service_that_goes_on_after_a_reboot_counts_from_the_same_answer(
    known: Machine, idp: Provider, token: bytes
) -> None:
    """What it writes down when the provider fails is no younger than what it read."""
    known.reboot(100)
    known.start().refresh(idp.issuer)
    known.reboot(FRESH)
    keysets = known.start()
    assert keysets.rows()[0]["age"] == 100 + FRESH
    known.passes(KEPT - FRESH - 1)
    assert outcome(keysets, token) == "auth0|alice"
    known.passes(1)
    assert outcome(keysets, token) == "token-keys-unavailable"


# -- What is believed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "\x00" * 100,
        '{"wall": 1}',
    ],
)
def test_a_damaged_file_is_not_believed_and_costs_nothing_else(
    known: Machine, idp: Provider, token: bytes, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """The service starts, and the provider's next answer takes its place."""
    known.file().write_text(text)
    not_believed(known, token, caplog, "damaged")
    idp.down = False
    known.start().refresh(idp.issuer)
    assert outcome(known.start(), token) == "auth0|alice"


@pytest.mark.parametrize(
    "changes",
    [
        {"key_set": ""},
        {"key_set": '{"keys": 7}'},
        {"key_set": '{"keys": [{}], "keys": [{}]}'},
        {"key_set": '{"keys": [' + "{}," * 100 + "{}]}"},
        {"key_set": '{"keys": [{"x": "' + "x" * SET_LIMIT + '"}]}'},
        {"key_set": 7},
        {"wall": "1"},
        {"wall": True},
        {"wall": -1.0},
        {"wall": float("nan")},
        {"steady": None},
        {"steady": float("inf")},
        {"fresh_for": 3601.0},
        {"fresh_for": 1e300},
        {"failed_after": -1.0},
        {"more": 1},
    ],
)
def test_what_the_file_says_is_judged_as_strictly_as_what_the_provider_says(
    known: Machine, token: bytes, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    """Size, count and form of the set, and spans that a provider cannot ask for."""
    known.change(**changes)
    not_believed(known, token, caplog, "damaged")


def test_a_file_without_an_end_is_not_read(known: Machine, token: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A sparse one of a terabyte."""
    with known.file().open("r+b") as file:
        file.truncate(2**40)
    not_believed(known, token, caplog, f"larger than {FILE_LIMIT} bytes")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_believed(
    known: Machine, token: bytes, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    """Whoever writes there signs as everybody."""
    known.file().chmod(mode)
    not_believed(known, token, caplog, "can be written by others")


@pytest.mark.parametrize("mode", [0o720, 0o707, 0o1777])
def test_a_directory_that_others_can_write_is_not_believed(
    known: Machine, token: bytes, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    """Nor one in which they could put a file of ours from elsewhere."""
    known.directory.chmod(mode)
    not_believed(known, token, caplog, "can be written by others")


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file to somebody else needs root")
def test_a_file_of_somebody_else_is_not_believed(
    known: Machine, token: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody but the service and root say which keys count."""
    os.chown(known.file(), 12345, 12345)
    not_believed(known, token, caplog, "can be written by others")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_holds_up_nothing(
    known: Machine, token: bytes, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    """A pipe that nobody writes to included."""
    path = known.file()
    path.unlink()
    make(path)
    not_believed(known, token, caplog, "directory" if make is os.mkdir else "not a regular file")


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": "{issuer}/jwks"},
        {"ca_file": None},
        {"allow_private": False},
        {"allow_http": True},
    ],
)
def test_keys_that_were_fetched_in_another_way_are_not_believed(
    known: Machine, idp: Provider, token: bytes, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    """Whoever tightens the configuration must not go on with what the old one let in."""
    if "keys" in changes:
        changes = {"keys": changes["keys"].format(issuer=idp.issuer)}
    not_believed(known, token, caplog, "with another configuration", **changes)


def test_the_keys_of_one_issuer_are_not_those_of_another(
    known: Machine, idp: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor when their file has the other's name."""
    other = "https://other.example.com"
    idp.down = False
    idp.answers[JWKS] = lambda: Answer(200, json.dumps({"keys": [TokenKey("other").jwk]}).encode())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    theirs = Machine(idp, elsewhere)
    theirs.start(issuer=other, keys=idp.issuer + JWKS).refresh(other)
    known.file().rename(theirs.file())
    not_believed(theirs, idp.token(iss=other), caplog, "with another configuration", issuer=other)


# -- What is written -------------------------------------------------------------------------------------------------


def test_one_file_for_each_issuer_that_nobody_else_can_read(known: Machine, idp: Provider, token: bytes) -> None:
    """Of bounded size, and no more of them after many answers."""
    idp.down = False
    for _ in range(3):
        known.start().refresh(idp.issuer)
    status = known.file().stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_size < FILE_LIMIT
    assert token.rpartition(b".")[2] not in known.file().read_bytes()


def test_the_largest_set_that_is_taken_can_be_kept(machine: Machine, idp: Provider, token: bytes) -> None:
    """All of it quotes."""
    body = json.dumps({"keys": [idp.key.jwk], "": "@"})
    body = body.replace("@", '\\"' * ((SET_LIMIT - len(body)) // 2))
    idp.answers[JWKS] = lambda: Answer(200, body.encode(), {"Cache-Control": "max-age=3600"})
    machine.start().refresh(idp.issuer)
    assert machine.file().stat().st_size > SET_LIMIT
    assert outcome(machine.start(), token) == "auth0|alice"


def test_a_set_that_has_not_changed_is_known_to_be_good_later(machine: Machine, idp: Provider, token: bytes) -> None:
    """An answer without a body counts as one."""
    idp.headers = {"ETag": '"one"', "Cache-Control": f"max-age={FRESH}"}
    keysets = machine.start()
    keysets.refresh(idp.issuer)
    machine.passes(100)
    keysets.refresh(idp.issuer)
    assert idp.requests[-1][1]["If-None-Match"] == '"one"'
    machine.passes(FRESH + KEPT - 1)
    assert outcome(machine.start(), token) == "auth0|alice"


def test_files_of_other_issuers_and_halves_of_files_are_removed(known: Machine) -> None:
    """By a service that runs, not by one that only has a look; what is not ours stays."""
    own = known.file().name
    others = {"key-set-0123.json", ".key-set-0123.json.x7", "dropped-keys.json", "else"}
    for name in others:
        (known.directory / name).write_text("[]")
    keysets = known.start()
    assert {path.name for path in known.directory.iterdir()} == {own, *others}
    keysets.start(0)
    keysets.stop()
    assert {path.name for path in known.directory.iterdir()} >= {own, "dropped-keys.json", "else"}
    assert not others.intersection({path.name for path in known.directory.glob("*key-set-0123*")})


def test_keys_of_a_file_are_not_kept_elsewhere(machine: Machine, idp: Provider, tmp_path: Path) -> None:
    """They are there anyway."""
    path = tmp_path / "jwks"
    path.write_bytes(idp.answer(JWKS).body)
    keysets = machine.start(keys=f"file:{path}", ca_file=None)
    keysets.refresh(idp.issuer)
    assert outcome(keysets, idp.token()) == "auth0|alice"
    assert list(machine.directory.iterdir()) == []


def test_a_directory_that_is_not_there_is_told_once_and_costs_nothing(
    machine: Machine, idp: Provider, token: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A unit without StateDirectory=."""
    machine.directory.rmdir()
    keysets = machine.start()
    for _ in range(3):
        keysets.refresh(idp.issuer)
        assert outcome(keysets, token) == "auth0|alice"
    said = [record.message for record in caplog.records if "cannot be written down" in record.message]
    assert said == [
        f"keys would not outlast a restart, for they cannot be written down: {machine.directory}: "
        "No such file or directory"
    ]


def test_a_full_disk_leaves_what_was_there(
    known: Machine, idp: Provider, token: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The old file whole, no half of a new one, and a service that goes on."""
    before = known.file().read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hoopjump.keys.files.os.fsync", full)
    idp.down = False
    keysets = known.start()
    keysets.refresh(idp.issuer)
    assert "No space left on device" in caplog.text
    assert known.file().read_bytes() == before
    assert outcome(keysets, token) == "auth0|alice"


def test_a_key_that_was_taken_out_does_not_come_back_by_a_full_disk(
    known: Machine, idp: Provider, token: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set without it could not be written down, and the one with it must not be there at the next start."""
    stolen = idp.key
    idp.down, idp.keys[:] = False, [TokenKey("second")]

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    keysets = known.start()
    with monkeypatch.context() as patched:
        patched.setattr("hoopjump.keys.files.os.fsync", full)
        keysets.refresh(idp.issuer)
    assert outcome(keysets, token) == "token-key-unknown"
    idp.down = True
    assert outcome(known.start(), idp.token(stolen)) == "token-keys-unavailable"
