"""The stand-in gateway, once a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hoopjump.gateway.client import GatewayClient
from tests.gateway.replay import KEY, Replay, replay, section


@pytest.fixture
def gateway() -> Iterator[Replay]:
    """A server without any answers; a test plays transcripts into it."""
    with replay() as scene:
        yield scene


@pytest.fixture
def client(gateway: Replay) -> Iterator[GatewayClient]:
    """A client of that server."""
    made = GatewayClient(section(gateway.url), KEY)
    yield made
    made.close()
