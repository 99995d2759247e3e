"""A certificate of hoopjump-ca, and the token in it, at a real bastion."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import Identity
from hoopjump.dev.place import Place
from tests.ca.yard import BASTION, URL, Yard, token_signer
from tests.conftest import need_bastion

ECHO = ("mybash", "echo hello")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A bastion that wants a token from everybody, and the hoopjump-ca that it trusts."""
    need_bastion()
    directory = tmp_path_factory.mktemp("ca")
    token_signer(directory, "bound")
    with tempfile.TemporaryDirectory(dir=Place.here().parent) as public:
        Path(public).chmod(0o755)
        keys = Path(public) / "bound.jwks"
        keys.write_text((directory / "bound.jwks").read_text())
        keys.chmod(0o644)
        bound = {
            "issuer": URL,
            "audiences": [BASTION],
            "keys": f"file:{keys}",
            "groups_claim": "groups",
            "user_attribute": "email",
            "bound": True,
        }
        settings = {"tokens": {"session": "required", "forward": "required", "issuer": [bound]}}
        with (
            Bastion(settings=settings) as bastion,
            Yard(directory, {"[certificate]": f'ca_key = "file:{bastion.user_ca.key}"'}) as yard,
        ):
            # A jump is end to end, and this is not about what the gateway loses there.
            bastion.gateway.faults(early_close=False)
            yield SimpleNamespace(bastion=bastion, yard=yard)


def identity(town: SimpleNamespace, name: str, *, embed: bool, user: str = "alice") -> Identity:
    """A key with the certificate that the service gave for it."""
    key: Path = town.yard.key(name)
    answer = town.yard.certify(key, town.yard.token(email=town.bastion.email(user)), embed_token=embed)
    path = key.with_name(f"{name}-cert.pub")
    path.write_text(answer.json["certificate"] + "\n")
    return Identity(key, path)


def test_it_lets_in_both_ways_with_its_token(town: SimpleNamespace) -> None:
    """`ssh bastion` and `ssh -J bastion gateway`."""
    whole = identity(town, "whole", embed=True)
    done = town.bastion.ssh(*ECHO, identity=whole)
    assert (done.returncode, done.stdout) == (0, b"hello\n"), done.stderr
    done = town.bastion.jump(*ECHO, identity=whole)
    assert (done.returncode, done.stdout.split()) == (0, [b"hello"]), done.stderr


def test_without_the_token_that_the_bastion_wants(town: SimpleNamespace) -> None:
    """The certificate alone is not enough there."""
    done = town.bastion.ssh(*ECHO, identity=identity(town, "bare", embed=False))
    assert done.returncode != 0
    assert b"hello" not in done.stdout
