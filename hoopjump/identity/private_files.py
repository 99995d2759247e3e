"""Files that nobody but their owner may read: made so, and believed only when they are.

Loads nothing but the standard library: ``hoopjump login --if-needed`` runs before every ssh.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final

from hoopjump.atomic import replacing
from hoopjump.identity.errors import IdentityError

LIMIT: Final = 256 * 1024


def make_directory(path: Path) -> None:
    """Make a directory of mode 0700 with what is above it; an existing one must be ours alone.

    Raises :class:`IdentityError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise IdentityError("store-unsafe", f"{path} is not a directory", "have a look at it, and move it away")
    _check(path, status, f"chmod 0700 {path}")


def read(path: Path) -> bytes | None:
    """The content of a private file, None when there is none.

    A link, somebody else's file, one that others may read, and a large one raise :class:`IdentityError`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise IdentityError(
                "store-unsafe", f"{path} is a link", "have a look where it leads, and remove it"
            ) from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LIMIT:
            raise IdentityError("store-unsafe", f"{path} is not a file of ours", "have a look at it, and remove it")
        _check(path, status, "what is in it may be known to others: remove it, and log in anew")
        return os.read(descriptor, LIMIT)
    finally:
        os.close(descriptor)


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file whole or not at all, in place of what is there, be that a link."""
    with replacing(path, mode) as file:
        file.write(data)


def _check(path: Path, status: os.stat_result, hint: str) -> None:
    if status.st_uid != os.geteuid():
        raise IdentityError("store-unsafe", f"{path} belongs to uid {status.st_uid}", "remove it, or have it removed")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise IdentityError("store-unsafe", f"{path} is open to others (mode {mode:04o})", hint)
