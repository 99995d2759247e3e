"""`hoopjump keys`, and `hoopjump token verify` with configured issuers; what needs a daemon is in tests/bastion."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.keys.provider import TokenKey

GATEWAY = """
[gateway]
api_url = "https://gw.example.com"
ssh_host = "gw.example.com"
"""


@pytest.fixture
def key() -> TokenKey:
    return TokenKey("kid-1")


@pytest.fixture
def config(tmp_path: Path, key: TokenKey) -> Path:
    """A configuration with one issuer, whose keys are in a file."""
    keys = tmp_path / "jwks"
    keys.write_text(json.dumps({"keys": [key.jwk]}))
    path = tmp_path / "hoopjump.toml"
    path.write_text(
        f"""{GATEWAY}
[daemon]
socket = "{tmp_path}/none.sock"
keys_dir = "{tmp_path}"
[[tokens.issuer]]
issuer = "https://idp.example.com"
audiences = ["bastion"]
keys = "file:{keys}"
"""
    )
    return path


def token(tmp_path: Path, key: TokenKey, **changes: object) -> Path:
    path = tmp_path / "token"
    claims = {"iss": "https://idp.example.com", "aud": "bastion", "sub": "alice", "exp": int(time.time()) + 60}
    path.write_bytes(key.sign({**claims, **changes}) + b"\n")
    return path


@pytest.mark.parametrize("arguments", [("list",), ("refresh",), ("drop", "kid-1"), ("drop", "--undo", "kid-1")])
def test_without_a_daemon_the_next_step_is_said(hoopjump: Run, config: Path, arguments: tuple[str, ...]) -> None:
    """The daemon alone knows the keys that it uses."""
    said = hoopjump("--config", config, "keys", *arguments)
    assert (said.status, said.out) == (1, "")
    assert "hoopjumpd cannot be reached" in said.err
    assert "systemctl status hoopjumpd" in said.err


@pytest.mark.parametrize(
    "arguments", [("-90_hWDU7",), ("--undo", "-90_hWDU7"), ("-90_hWDU7", "--json"), ("--", "--Ab")]
)
def test_the_name_of_a_key_may_begin_with_a_dash(hoopjump: Run, config: Path, arguments: tuple[str, ...]) -> None:
    """As one in 64 thumbprints does."""
    said = hoopjump("--config", config, "keys", "drop", *arguments)
    assert said.status == 1
    assert "hoopjumpd cannot be reached" in said.err


def test_what_is_no_option_of_a_drop_is_no_second_name(hoopjump: Run, config: Path) -> None:
    """A slip in an option drops nothing."""
    assert hoopjump("--config", config, "keys", "drop", "--undoo", "kid-1").status == 2
    assert hoopjump("--config", config, "keys", "drop", "kid-1", "-h").out.startswith("Usage: ")


@pytest.mark.parametrize("other", ["--undo", "--ca"])
def test_logins_are_ended_by_a_drop_at_the_daemon_alone(hoopjump: Run, config: Path, other: str) -> None:
    """hoopjump-ca has none."""
    said = hoopjump("--config", config, "keys", "drop", "--end-logins", other, "kid-1")
    assert said.status == 2
    assert "--end-logins goes with a drop at hoopjumpd" in said.err


def test_a_token_is_verified_with_the_configured_issuers(
    hoopjump: Run, config: Path, key: TokenKey, tmp_path: Path
) -> None:
    """Without --issuer."""
    said = hoopjump("--config", config, "token", "verify", "--json", token(tmp_path, key))
    assert said.status == 0, said.err
    assert json.loads(said.out)["user"] == "alice"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"exp": 1}, "token-expired"), ({"iss": "else"}, "token-wrong-issuer"), ({"aud": "else"}, "token-wrong-audience")],
)
def test_a_token_is_refused_as_the_daemon_would(
    hoopjump: Run, config: Path, key: TokenKey, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    """With its reason in the JSON."""
    said = hoopjump("--config", config, "token", "verify", "--json", token(tmp_path, key, **changes))
    assert (said.status, json.loads(said.out)["reason"]) == (1, reason)


def test_a_token_of_a_dropped_key_is_refused_on_the_command_line_too(
    hoopjump: Run, config: Path, key: TokenKey, tmp_path: Path
) -> None:
    """The daemon's list of dropped keys counts."""
    rows = [{"issuer": "https://idp.example.com", "kid": "kid-1", "thumbprint": ""}]
    (tmp_path / "dropped-keys.json").write_text(json.dumps(rows))
    said = hoopjump("--config", config, "token", "verify", token(tmp_path, key))
    assert said.status == 1
    assert "token-key-dropped" in said.err


def test_keys_that_cannot_be_had_are_named(hoopjump: Run, config: Path, key: TokenKey, tmp_path: Path) -> None:
    """With the cause; it is no verdict."""
    (tmp_path / "jwks").unlink()
    said = hoopjump("--config", config, "token", "verify", token(tmp_path, key))
    assert said.status == 2
    assert "the keys of the token's issuer cannot be had: " in said.err
    assert "No such file" in said.err


@pytest.mark.parametrize("option", [("--audience", "x"), ("--jwks", "x"), ("--algorithm", "ES256"), ("--leeway", "30")])
def test_an_option_about_an_issuer_wants_its_name(hoopjump: Run, config: Path, option: tuple[str, str]) -> None:
    """It would be passed over otherwise."""
    said = hoopjump("--config", config, "token", "verify", *option, "-")
    assert said.status == 2
    assert "name it with --issuer" in said.err


def test_an_issuer_wants_an_audience(hoopjump: Run, config: Path) -> None:
    """A token for somebody else must never do."""
    said = hoopjump("--config", config, "token", "verify", "--issuer", "x", "--jwks", "x", "-")
    assert said.status == 2
    assert "--audience is needed" in said.err
