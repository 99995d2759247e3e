"""Tokens that were taken back: refused at once, also remembered ones; and all of them while the list cannot be read."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from hoopjump.config import TokenIssuerSection
from hoopjump.decision.jose import TokenError
from hoopjump.errors import HoopjumpError
from hoopjump.keys.keysets import KeySets
from tests.keys.provider import Provider


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """An empty list."""
    path = tmp_path / "revoked"
    path.write_text("")
    path.chmod(0o644)
    return path


@pytest.fixture
def keysets(idp: Provider, listed: Path) -> KeySets:
    return KeySets([TokenIssuerSection.model_validate(idp.section(revoked=str(listed)))])


def outcome(keysets: KeySets, token: bytes) -> str:
    """The user whom a token names, or the code with which it is refused."""
    try:
        return keysets.verify(token, time.time()).user
    except TokenError as error:
        return error.reason.code


def test_a_token_is_refused_from_the_moment_on_when_it_is_listed(keysets: KeySets, idp: Provider, listed: Path) -> None:
    """Also one that was verified before; others go on, and one that is taken off the list holds again."""
    token, other = idp.token(jti="stolen"), idp.token(jti="kept")
    assert [outcome(keysets, one) for one in (token, other)] == ["auth0|alice"] * 2
    listed.write_text("# lost on a train\n\n  stolen  \n")
    assert [outcome(keysets, one) for one in (token, other)] == ["token-revoked", "auth0|alice"]
    assert outcome(keysets, idp.token(jti="stolen", sub="auth0|bob")) == "token-revoked"
    listed.write_text("")
    assert outcome(keysets, token) == "auth0|alice"


@pytest.mark.parametrize("orig", [{"jti": "stolen"}, {"jti": ["stolen"]}, "stolen", None])
def test_what_was_issued_for_a_revoked_token_is_refused_with_it(
    keysets: KeySets, idp: Provider, listed: Path, orig: Any
) -> None:
    """hoopjump-ca tells for which token of a provider its own stands; what is no name is none."""
    listed.write_text("stolen\n")
    expected = "token-revoked" if orig == {"jti": "stolen"} else "auth0|alice"
    assert outcome(keysets, idp.token(jti="fresh", orig=orig)) == expected


@pytest.mark.parametrize("harm", ["gone", "open to others", "no text", "too large"])
def test_a_list_that_cannot_be_read_refuses_everybody_loudly(
    keysets: KeySets, idp: Provider, listed: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows who is on it; once it can be read, all is well."""
    token = idp.token(jti="any")
    assert outcome(keysets, token) == "auth0|alice"
    if harm == "gone":
        listed.unlink()
    elif harm == "open to others":
        listed.write_text("x\n")
        listed.chmod(0o666)
    else:
        listed.write_bytes(b"\xff\n" if harm == "no text" else b"x\n" * 600_000)
    with caplog.at_level(logging.ERROR):
        assert [outcome(keysets, token) for _ in range(3)] == ["token-revoked"] * 3
    assert [record.levelname for record in caplog.records if "nobody knows" in record.message] == ["ERROR"]
    listed.write_text("")
    listed.chmod(0o644)
    assert outcome(keysets, token) == "auth0|alice"


def test_a_list_that_is_not_there_stops_the_start(idp: Provider, tmp_path: Path) -> None:
    """A mistyped path must not look like an empty list."""
    section = TokenIssuerSection.model_validate(idp.section(revoked=str(tmp_path / "absent")))
    with pytest.raises(HoopjumpError, match="No such file"):
        KeySets([section])
