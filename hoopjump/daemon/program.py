"""What the program of a service does around its work; hoopjumpd and hoopjump-ca are such."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from hoopjump.config import ConfigError
from hoopjump.daemon import bounds, logs
from hoopjump.errors import HoopjumpError

EX_FAILURE: Final = 1
EX_CONFIG: Final = 2


def prepare(*, journal: bool) -> None:
    """Before the work: log lines go where they belong, and the bounds hold that a service sets itself."""
    logs.configure(journal=journal)
    bounds.raise_descriptor_limit()
    bounds.keep_secrets_in_memory()


@contextmanager
def telling(program: str) -> Iterator[None]:
    """Tell a fault on stderr, and exit with 1 (cannot work here) or 2 (bad configuration)."""
    try:
        yield
    except HoopjumpError as error:
        sys.stderr.write(f"{program}: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"{program}: hint: {error.hint}\n")
        sys.exit(EX_CONFIG if isinstance(error, ConfigError) else EX_FAILURE)


def leave() -> NoReturn:
    """After the work. A thread may still wait for a slow gateway or agent; nobody waits for it any more."""
    logging.shutdown()
    os._exit(0)
