"""Tokens through a real sshd: in certificates, sent by sessions, for `ssh bastion` and for `ssh -J bastion`."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hoopjump.cli.main import main
from hoopjump.decision.jose import decode_segment
from hoopjump.decision.keys import read_public_key
from hoopjump.decision.presented import key_thumbprint
from hoopjump.dev.services import wait_for
from tests.bastion.town import CA, Town, no_forward, opened, refused
from tests.keys.provider import Provider, TokenKey

ECHO = ("mybash", "echo hello")


@pytest.fixture(scope="module")
def town(idp: Provider, binding: TokenKey) -> Iterator[Town]:
    """A bastion where sessions and forwards need a token."""
    with opened(idp, binding, session="required", forward="required") as found:
        yield found


# -- Who has a token -------------------------------------------------------------------------------------------------


def test_a_bound_token_in_the_certificate_lets_both_ways_in(town: Town) -> None:
    """Nothing but the certificate is needed."""
    identity = town.certificate()
    done = town.ssh(*ECHO, identity=identity)
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr
    done = town.bastion.jump(*ECHO, identity=identity)
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_bound_token_counts_for_keys_of_other_kinds(town: Town, kind: str) -> None:
    """The thumbprint is that of the plain key."""
    identity = town.bastion.certificate(kind=kind)
    jkt = key_thumbprint(read_public_key(identity.public.read_bytes()))
    done = town.ssh(*ECHO, identity=town.embed(identity, "alice", town.bound(jkt)))
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr


def test_a_providers_token_in_the_environment_lets_the_session_in_and_no_forward(town: Town) -> None:
    """A forward has no environment."""
    identity, token = town.bastion.certificate(), town.token()
    done = town.ssh(*ECHO, identity=identity, token=token)
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr
    named = json.loads(decode_segment(token.split(".")[1].encode()))["jti"]
    town.bastion.wait_for_event(kind="session-started", issuer=town.idp.issuer, token_id=named)
    no_forward(
        town.bastion.jump(
            *ECHO, identity=identity, options=("-o", "SendEnv=HOOPJUMP_TOKEN"), env={"HOOPJUMP_TOKEN": token}
        )
    )


def test_without_a_token_there_is_no_way_in(town: Town) -> None:
    """And it is said how to get one."""
    for empty in (None, ""):
        said = refused(town.ssh(*ECHO, token=empty), "token-required")
    assert "A token of your identity provider is needed here." in said
    assert "hint: have hoopjump login put one into the certificate" in said
    no_forward(town.bastion.jump(*ECHO))
    town.bastion.wait_for_event(kind="admitted", detail="without forwards (token-required)")


def test_the_end_of_the_token_is_the_end_of_the_login(town: Town) -> None:
    """Of all its channels, while the certificate would go on for an hour."""
    ends = int(time.time()) + 10
    done = town.bastion.ssh(identity=town.certificate(exp=ends), options=("-N",))
    assert done.returncode != 0
    assert time.time() >= ends
    town.bastion.wait_for_event(kind="login-cut", deadline=ends)


def test_the_end_of_a_sent_token_is_the_end_of_the_login(town: Town) -> None:
    """It becomes known with the session."""
    ends = int(time.time()) + 300
    assert town.ssh(*ECHO, token=town.token(exp=ends)).returncode == 0
    # The provider's leeway comes on top.
    assert town.bastion.wait_for_event(kind="login-closed", deadline=ends + 30)


# -- Attacks ---------------------------------------------------------------------------------------------------------


def test_the_token_of_another_key_lets_nobody_in(town: Town) -> None:
    """Taken out of one certificate of alice's and put into another one."""
    other = key_thumbprint(read_public_key(town.bastion.certificate().public.read_bytes()))
    identity = town.certificate(jkt=other)
    refused(town.ssh(*ECHO, identity=identity), "token-other-key")
    no_forward(town.bastion.jump(*ECHO, identity=identity))


def test_a_providers_own_token_in_a_certificate_lets_nobody_in(town: Town) -> None:
    """Whoever sees a certificate has what is in it."""
    identity = town.certificate(token=town.token())
    refused(town.ssh(*ECHO, identity=identity), "token-not-for-certificates")
    no_forward(town.bastion.jump(*ECHO, identity=identity))


def test_a_bound_token_in_the_environment_lets_nobody_in(town: Town) -> None:
    """It stands in a certificate, which is public."""
    identity = town.bastion.certificate()
    bound = town.bound(key_thumbprint(read_public_key(identity.public.read_bytes())))
    refused(town.ssh(*ECHO, identity=identity, token=bound), "token-misplaced")


@pytest.mark.parametrize("place", ["certificate", "environment"])
def test_the_token_of_somebody_else_lets_nobody_in(town: Town, place: str) -> None:
    """Both names are in the log, and neither on the screen."""
    before = town.bastion.log()
    if place == "certificate":
        done = town.ssh(*ECHO, identity=town.certificate(owner="bob"))
    else:
        done = town.ssh(*ECHO, token=town.token("bob"))
    said = refused(done, "token-other-user")
    assert "alice@" not in said
    assert "bob@" not in said
    assert town.bastion.find_log(r"token-other-user.*bob@.*alice@", since=before) is not None


@pytest.mark.parametrize("place", ["certificate", "environment"])
def test_an_expired_token_lets_nobody_in(town: Town, place: str) -> None:
    """Wherever it is, and whatever the certificate says."""
    old = int(time.time()) - 100
    if place == "certificate":
        done = town.ssh(*ECHO, identity=town.certificate(exp=old, iat=old - 10))
    else:
        done = town.ssh(*ECHO, token=town.token(exp=old, iat=old - 10))
    refused(done, "token-expired")


def test_a_token_that_somebody_made_up_lets_nobody_in(town: Town) -> None:
    """Of an issuer that is not trusted, with a key that is not its own, or no token at all."""
    stranger = TokenKey("first")
    refused(town.ssh(*ECHO, token=town.token(key=stranger)), "token-bad-signature")
    refused(town.ssh(*ECHO, token=town.token(iss="https://else.example.com")), "token-wrong-issuer")
    refused(town.ssh(*ECHO, token="x" * 5000), "token-malformed")
    refused(town.ssh(*ECHO, identity=town.certificate(token="nothing")), "token-malformed")


def content(path: Path) -> bytes:
    """What is in a file; nothing where it is none, or has just gone with its login."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes() if path.is_file() else b""
    return b""


def test_no_token_is_in_any_log(town: Town) -> None:
    """Good and bad ones, of all that this bastion has written; nor does one go on to where the command runs."""
    good, bad = town.token(), town.token("bob")
    done = town.ssh("mybash", "env; cat /proc/$$/cmdline", token=good)
    assert done.returncode == 0
    assert b"HOOPJUMP" not in done.stdout
    town.ssh(*ECHO, token=bad)
    written = town.bastion.log() + json.dumps(town.bastion.audit())
    kept = b"".join(map(content, (town.bastion.directory / "run").rglob("*")))
    for token in (good, bad):
        for part in token.split(".")[1:]:
            assert part not in written
            assert part.encode() not in kept


# -- Keys ------------------------------------------------------------------------------------------------------------


def test_a_new_key_of_the_provider_is_taken_as_it_comes(town: Town) -> None:
    """The login that brings it asks for it, within its own time."""
    town.idp.keys.insert(0, TokenKey("rotated"))

    def accepted() -> bool:
        done = town.ssh(*ECHO, token=town.token())
        assert done.returncode == 0 or b"token-key-unknown" in done.stderr, done.stderr
        return bool(done.returncode == 0)

    # Its keys were perhaps asked for less than ten seconds ago.
    assert wait_for(accepted, 40, "the new key")


def test_a_dropped_key_lets_nobody_in_until_that_is_taken_back(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """`hoopjump keys`: at once, though the provider goes on publishing the key."""

    def keys(*arguments: str) -> Any:
        with pytest.raises(SystemExit) as ended:
            main(["--config", str(town.bastion.config), "keys", *arguments])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    status, out, _ = keys("list", "--json")
    states = {row["issuer"]: (row["state"], [key["kid"] for key in row["keys"]]) for row in json.loads(out)}
    assert status == 0
    assert states[CA] == ("fresh", ["binding"])
    identity = town.certificate()
    assert town.ssh(*ECHO, identity=identity).returncode == 0
    status, _, err = keys("drop", "binding")
    # The login of a moment ago may not have ended yet; it is told of then.
    assert (status, err.splitlines()[0]) == (0, f"hoopjump: the key binding of {CA} is refused from now on")
    assert "dropped" in keys("list")[1]
    town.bastion.restart_daemon()
    assert keys("refresh")[0] == 0
    refused(town.ssh(*ECHO, identity=identity), "token-key-dropped")
    assert keys("drop", "binding", "--undo")[0] == 0
    assert town.ssh(*ECHO, identity=identity).returncode == 0
    assert keys("drop", "no-such-key")[0] == 1


def test_the_command_line_verifies_with_the_configured_issuers(
    town: Town, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`hoopjump token verify` without --issuer, and `hoopjump explain` for a certificate with a token."""
    path = tmp_path / "token"
    path.write_text(town.token())
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(town.bastion.config), "token", "verify", "--json", str(path)])
    told = json.loads(capsys.readouterr().out)
    assert (ended.value.code, told["valid"], told["user"]) == (0, True, town.bastion.email("alice"))
    certificate = town.certificate(owner="bob").certificate
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(town.bastion.config), "explain", "--certificate", str(certificate), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (ended.value.code, told["reason"]) == (1, "token-other-user")
