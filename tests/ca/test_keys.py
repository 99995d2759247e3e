"""The keys of a hoopjump-ca: kept over its restarts, and dropped by an administrator whom it does not listen to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hoopjump.keys.dropped import DROPPED_KEYS
from tests.ca.yard import AUDIENCE, Yard
from tests.cli.conftest import Run, hoopjump
from tests.keys.conftest import idp, running_provider
from tests.keys.provider import Provider, TokenKey

__all__ = ["hoopjump", "idp", "running_provider"]

DROPPED = (401, "token-key-dropped")
UNAVAILABLE = (503, "token-keys-unavailable")


@pytest.fixture
def yard(new_yard: Callable[..., Yard], idp: Provider) -> Yard:
    """A hoopjump-ca with the provider's tokens, whose keys it has discovered."""
    issuer = f"""issuer = "{idp.issuer}"
keys = "discovery"
audiences = ["{AUDIENCE}"]
ca_file = "{idp.ca_file}"
allow_private = true"""
    return new_yard({"[[issuer]]": issuer})


def outcome(yard: Yard, idp: Provider, key: TokenKey | None = None) -> tuple[int, str]:
    """What comes of a request with a fresh token."""
    answer = yard.certify(yard.key(), idp.token(key, aud=AUDIENCE).decode())
    return (200, "") if answer.status == 200 else answer.outcome


def restart(yard: Yard, *, later: float = 0) -> None:
    """Once more, as if so many seconds had passed since the last answer."""
    yard.service.stop()
    (path,) = yard.keys.glob("key-set-*")
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "wall": kept["wall"] - later}))
    yard.service.start()


# -- Restarts --------------------------------------------------------------------------------------------------------


def test_a_restart_while_the_provider_is_down_costs_nothing_for_as_long_as_keys_are_kept(
    yard: Yard, idp: Provider
) -> None:
    """Then it issues nothing, says why, and goes on when the provider is back."""
    idp.down = True
    restart(yard)
    assert outcome(yard, idp) == (200, "")
    restart(yard, later=3000)
    assert outcome(yard, idp) == (200, "")
    restart(yard, later=3000)
    assert outcome(yard, idp) == UNAVAILABLE
    assert "its tokens are refused" in yard.log.read_text()
    idp.down = False
    restart(yard)
    assert outcome(yard, idp) == (200, "")


def test_a_restart_asks_the_provider_before_anybody_gets_a_certificate(yard: Yard, idp: Provider) -> None:
    """A key that was withdrawn meanwhile gets none, though it was kept."""
    stolen = idp.key
    idp.keys[:] = [TokenKey("second")]
    restart(yard)
    assert outcome(yard, idp, stolen) == (401, "token-key-unknown")
    assert outcome(yard, idp) == (200, "")


def test_a_damaged_file_is_told_and_costs_nothing_else(yard: Yard, idp: Provider) -> None:
    """The provider answers."""
    yard.service.stop()
    for path in yard.keys.iterdir():
        path.write_text("{")
    yard.service.start()
    assert "were kept are not believed" in yard.log.read_text()
    assert outcome(yard, idp) == (200, "")


# -- Dropping --------------------------------------------------------------------------------------------------------


def test_a_dropped_key_gets_no_certificate_from_the_next_request_on(yard: Yard, idp: Provider, hoopjump: Run) -> None:
    """Not after a restart either; it is listed, and can be taken back."""
    other = TokenKey("other")
    idp.keys.append(other)
    restart(yard)
    ca = ("--config", yard.config, "keys")
    assert outcome(yard, idp) == (200, "")

    said = hoopjump(*ca, "drop", "--ca", "first")
    assert (said.status, said.out) == (0, "")
    assert said.err == f"hoopjump: the key first of {idp.issuer} is refused from now on\n"
    assert outcome(yard, idp) == DROPPED
    assert outcome(yard, idp, other) == (200, "")
    assert yard.events()[-2]["reason"] == "token-key-dropped"
    listed = hoopjump(*ca, "list", "--ca")
    assert listed.status == 0
    assert [line.split() for line in listed.out.splitlines()[1:]] == [
        [idp.issuer, "fresh", "first", "P-256", "-", "dropped"],
        [idp.issuer, "fresh", "other", "P-256", "ES256"],
    ]
    assert "1 keys are dropped" in yard.log.read_text()

    restart(yard)
    assert outcome(yard, idp) == DROPPED

    said = hoopjump(*ca, "drop", "--ca", "--undo", "--json", "first")
    assert said.status == 0
    assert json.loads(said.out)["of"] == [idp.issuer]
    assert outcome(yard, idp) == (200, "")


def test_a_list_that_cannot_be_read_gets_nobody_a_certificate(yard: Yard, idp: Provider) -> None:
    """Any key may stand on it; and the log says so."""
    path = yard.keys / DROPPED_KEYS
    path.write_text("[]")
    path.chmod(0o666)
    assert outcome(yard, idp) == DROPPED
    assert "all tokens are refused, for nobody knows which keys were dropped" in yard.log.read_text()
    path.unlink()
    assert outcome(yard, idp) == (200, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("drop", "--ca", "no-such"), "no issuer has a key of the name 'no-such'"),
        (("drop", "--ca", "--undo", "first"), "nothing was dropped of the name 'first'"),
    ],
)
def test_a_slip_drops_nothing(yard: Yard, idp: Provider, hoopjump: Run, arguments: tuple[str, ...], said: str) -> None:
    """And it is said how to look."""
    answer = hoopjump("--config", yard.config, "keys", *arguments)
    assert (answer.status, answer.out) == (1, "")
    assert said in answer.err
    assert "hoopjump keys list --ca" in answer.err
    assert outcome(yard, idp) == (200, "")


def test_a_directory_that_is_not_there_is_told(yard: Yard, idp: Provider, hoopjump: Run) -> None:
    """A drop that nobody would read of is none."""
    text = yard.config.read_text()
    yard.config.write_text(text.replace(f'keys_dir = "{yard.keys}"', 'keys_dir = "/nonexistent"'))
    answer = hoopjump("--config", yard.config, "keys", "drop", "--ca", "first")
    assert answer.status == 1
    assert "/nonexistent" in answer.err
    assert outcome(yard, idp) == (200, "")


def test_without_a_configuration_named_it_is_the_service_s_own(hoopjump: Run) -> None:
    """Not hoopjumpd's."""
    answer = hoopjump("keys", "list", "--ca")
    if Path("/etc/hoopjump/ca.toml").exists():
        pytest.skip("there is a hoopjump-ca on this machine")
    assert answer.status != 0
    assert "/etc/hoopjump/ca.toml: No such file" in answer.err
