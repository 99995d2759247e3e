"""A hoopjump-ca that all tests of a file share, and ones of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.ca.nginx import Nginx
from tests.ca.yard import Yard


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """Nobody changes this one, or asks it for so much that others are refused."""
    limits = {"[limits]": "per_source = 100000\nper_user = 100000"}
    with Yard(tmp_path_factory.mktemp("ca"), limits) as running:
        yield running


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """An ``nginx`` and the ``yard`` behind it; nobody changes them."""
    limits = {"[limits]": "per_source = 100000\nper_user = 100000"}
    with Yard(tmp_path_factory.mktemp("ca"), limits, unix=True) as behind, Nginx(behind) as nginx:
        yield SimpleNamespace(yard=behind, nginx=nginx)


@pytest.fixture
def new_yard(tmp_path: Path) -> Iterator[Callable[..., Yard]]:
    """Starts one of a test's own; takes what :class:`Yard` takes but the directory."""
    with ExitStack() as stack:

        def start(*arguments: Any, **options: Any) -> Yard:
            return stack.enter_context(Yard(tmp_path, *arguments, **options))

        yield start
