"""Refused by sshd alone, with its own log line: revoked certificates, foreign authorities, plain keys.

Beside them, on the same bastion, an account that the configuration gives to one user by name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import Identity, keygen
from hoopjump.dev.place import Place
from hoopjump.dev.settings import Settings
from tests.bastion.proof import assert_held, events_of, hoopjump, no_access, serial_of
from tests.conftest import need_bastion


@pytest.fixture(scope="module")
def krl() -> Iterator[Path]:
    """A revocation list that revokes nothing yet."""
    need_bastion()
    with tempfile.TemporaryDirectory(dir=Place.here().parent) as directory:
        path = Path(directory) / "krl"
        hoopjump("krl", "create", str(path))
        yield path


@pytest.fixture(scope="module")
def strict(krl: Path) -> Iterator[Bastion]:
    """A bastion with that list, whose account is alice's by name and nobody else's."""
    settings: Settings = {
        "accounts": {"shared": [], "own": False},
        "accounts.map": {'"alice@example.com"': [Place.here().account]},
    }
    with Bastion(settings=settings, sshd_lines=[f"RevokedKeys {krl}"]) as running:
        yield running


def test_an_account_that_is_not_yours_is_refused(strict: Bastion) -> None:
    """An account that is one user's by the configuration's map is nobody else's."""
    assert strict.ssh("mybash", "echo here").stdout == b"here\n"
    identity = strict.certificate("bob")
    assert_held(strict, identity, f"the account '{strict.account}'", "account-not-allowed")


@pytest.mark.parametrize("by", ["--certificate", "--key-id", "--serial"])
def test_a_revoked_certificate_is_denied(strict: Bastion, krl: Path, by: str) -> None:
    """What `hoopjump krl add` revokes is denied from then on by sshd, which says so; our hook is not asked any more."""
    identity, other = strict.certificate("alice"), strict.certificate("alice")
    assert identity.certificate is not None
    assert strict.ssh("mybash", "echo here", identity=identity).stdout == b"here\n"
    asked = len(events_of(strict, identity))
    values = {
        "--certificate": str(identity.certificate),
        "--key-id": identity.key.name,
        "--serial": serial_of(identity),
    }
    hoopjump("krl", "add", str(krl), by, values[by])
    before = strict.log()
    assert_denied_by_sshd(strict, identity)
    assert strict.find_log(r"Authentication key ED25519-CERT .* revoked by file", before)
    assert events_of(strict, identity)[asked:] == []
    assert strict.ssh("mybash", "echo here", identity=other).stdout == b"here\n"


def test_a_certificate_of_a_foreign_authority_is_denied(bastion: Bastion) -> None:
    """The log line of sshd names the certificate and its authority; our hook is not asked."""
    identity, before = bastion.certificate("alice", ca="foreign_ca"), bastion.log()
    assert_denied_by_sshd(bastion, identity)
    line = bastion.find_log(r"Failed publickey for .* ED25519-CERT ", before)
    assert line is not None
    authority = keygen("-l", "-f", str(bastion.workshop.key("foreign_ca").public)).split()[1]
    assert f"ID {identity.key.name} (serial {serial_of(identity)}) CA ED25519 {authority}" in line
    assert events_of(bastion, identity) == []


def test_a_plain_key_is_denied(bastion: Bastion) -> None:
    """A key without a certificate opens nothing, also one that has a good certificate; our hook is not asked."""
    identity, before = bastion.certificate("alice"), bastion.log()
    assert identity.certificate is not None
    identity.certificate.unlink()
    assert_denied_by_sshd(bastion, Identity(identity.key, None))
    # Old ones speak of the key type, and up to 8.4 of PubkeyAcceptedKeyTypes.
    assert bastion.find_log(r"(signature algorithm|key type) ssh-ed25519 not in PubkeyAccepted", before)
    assert not bastion.find_log("denied|admitted|held", before)


@pytest.mark.usefixtures("private_view")
def test_a_keys_command_of_the_whole_sshd_lets_nobody_in(new_bastion: Callable[..., Bastion]) -> None:
    """It is asked after our hook, and may name a CA of its own; inside our block it is off, and the hook is not."""
    bastion = new_bastion()
    identity, command = bastion.certificate("alice", ca="other_ca"), bastion.directory / "lib" / "keys"
    other = bastion.workshop.key("other_ca").public.read_text().strip()
    line = f'cert-authority,principals="{bastion.email("alice")}" {other}'
    command.write_text(f"#!/bin/sh\necho '{line}'\n")
    command.chmod(0o755)
    config = bastion.directory / "etc" / "sshd_config"
    block = config.read_text()
    head = f"AuthorizedKeysCommand {command}\nAuthorizedKeysCommandUser nobody\n"
    config.write_text(head + block)
    bastion.sshd.stop()
    bastion.sshd.start()
    assert_denied_by_sshd(bastion, identity)
    assert bastion.ssh("mybash", "echo here").stdout == b"here\n"
    # Without the line in our block it would have let them in.
    config.write_text(head + block.replace("    AuthorizedKeysCommand none\n", ""))
    bastion.sshd.stop()
    bastion.sshd.start()
    assert b"login-unknown" in bastion.ssh("mybash", "echo here", identity=identity).stderr


def assert_denied_by_sshd(bastion: Bastion, identity: Identity) -> None:
    for attempt in no_access(bastion, identity=identity).all:
        assert attempt.returncode == 255
        assert b"Permission denied (publickey)" in attempt.stderr
