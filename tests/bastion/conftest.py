"""What stands behind the bastion that everybody shares, started when the first test asks for it; and a provider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.databases import MysqlServer, PostgresServer
from tests.bastion.ways import JUMP, WAYS
from tests.keys.provider import Provider, TokenKey, provider


@pytest.fixture
def patient_gateway(bastion: Bastion) -> Iterator[None]:
    """The gateway lets clients leave first, so that nothing is lost without us."""
    bastion.gateway.faults(early_close=False)
    yield
    bastion.gateway.faults(early_close=True)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Each of the two ways in.

    A jump is end to end: what the gateway loses by closing early is lost to its users, so there the gateway is patient.
    """
    if request.param == JUMP:
        request.getfixturevalue("patient_gateway")
    return str(request.param)


@pytest.fixture(scope="session")
def pgdemo(bastion: Bastion) -> PostgresServer:
    """The PostgreSQL server behind the role ``pgdemo``."""
    return bastion.backend.postgres("pgdemo")


@pytest.fixture(scope="session")
def mydemo(bastion: Bastion) -> MysqlServer:
    """The MariaDB server behind the role ``mydemo``."""
    return bastion.backend.mysql("mydemo")


@pytest.fixture(scope="session")
def web1(bastion: Bastion) -> str:
    """The name of a role of type ssh, with a second sshd behind it."""
    bastion.backend.ssh_target("web1")
    return "web1"


@pytest.fixture
def common_ground(bastion: Bastion, request: pytest.FixtureRequest) -> Path:
    """A directory of this test's own that every uid may write to: what a role's command leaves there can be seen."""
    path = bastion.directory / "client" / f"ground-{abs(hash(request.node.nodeid))}"
    path.mkdir()
    path.chmod(0o777)
    return path


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """An identity provider, whose users have their e-mail address in `sub`."""
    with provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def binding() -> TokenKey:
    """The key with which a hoopjump-ca signs the tokens that it binds."""
    return TokenKey("binding")
