"""One provider for the tests here; what a test changes of it is put back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.keys.provider import Provider, provider


@pytest.fixture(scope="session")
def running_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture
def idp(running_provider: Provider) -> Provider:
    """An identity provider, as new."""
    running_provider.__init__(running_provider.port, running_provider.ca_file)  # type: ignore[misc]
    return running_provider
