"""Gateways and authorities for the tests of the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hoopjump.dev.gateway import EmbeddedGateway, Faults, RoleSpec, Setup, UserSpec, in_thread
from tests.dev.yard import Authority, Client


@dataclass
class Scene:
    """A gateway, who it trusts, and a client."""

    gateway: EmbeddedGateway
    authority: Authority
    client: Client
    key: Path
    """Alice's key, with a certificate that may do everything."""


SETUP_USERS = (
    UserSpec("alice@x.io", groups=("dev",), user_id="11111111-2222-4333-8444-555555555555"),
    UserSpec("bob@x.io", groups=("dev",)),
    UserSpec("dave@x.io", groups=("dev",), status="inactive"),
    UserSpec("olga@x.io", subject="auth0|5f1c", groups=("dev",)),
)
SETUP_ROLES = (
    RoleSpec("mybash"),
    RoleSpec("other", variables={"GREETING": "hello from other"}),
    RoleSpec("mongo", ("true",), "database", "mongodb"),
    RoleSpec("noexec", exec=False),
    RoleSpec("reviewed", review=("sec",)),
)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A gateway with the usual users and roles that maps principals to e-mail addresses."""
    authority = Authority(tmp_path)
    with in_thread(Setup(SETUP_USERS, SETUP_ROLES, (authority.line,))) as (gateway, ready):
        yield Scene(gateway, authority, Client(ready, tmp_path), authority.sign())


@pytest.fixture(scope="module")
def shared_scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Such a gateway for tests that leave it as it is."""
    directory = tmp_path_factory.mktemp("scene")
    authority = Authority(directory)
    with in_thread(Setup(SETUP_USERS, SETUP_ROLES, (authority.line,))) as (gateway, ready):
        yield Scene(gateway, authority, Client(ready, directory), authority.sign())
        assert gateway.faults == Faults(), "a test of the shared gateway left a fault behind"
