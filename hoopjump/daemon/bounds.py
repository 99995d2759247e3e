"""Bounds that a service sets itself: as many descriptors as it may have, and memory that nobody else reads."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h

log = logging.getLogger("hoopjump.daemon")


def raise_descriptor_limit() -> None:
    """Every login and every call holds a descriptor or two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def keep_secrets_in_memory() -> None:
    """No core dump, which would hold API keys and the keys of CAs, and no debugger but root's.

    prctl(2) PR_SET_DUMPABLE also holds where core_pattern is a program, which is started whatever RLIMIT_CORE says
    (core(5)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        log.warning("this process can be dumped: prctl failed")
