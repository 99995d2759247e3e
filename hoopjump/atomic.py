"""Writing a file whole or not at all, and by one at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, mode: int = 0o600, *, anew: bool = False) -> Iterator[BinaryIO]:
    """A file that is on disk and takes the place of ``path``, be that a link, in one step when the block ends well.

    The mode holds from the first byte on. With ``anew``, what is at ``path`` stays and is a :class:`FileExistsError`,
    also when it appears at the last moment. Raises :class:`OSError`.
    """
    # As tempfile does it, which takes longer to load than all else that a login still good needs.
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
        if anew:
            path.hardlink_to(temporary)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until nobody else holds this lock, and hold it; it ends with its process, however that ends.

    ``path`` is a file for nothing else, and stays. Whoever may open what is locked, be it to read, can hold the lock
    for ever (flock(2)): so nobody else may open this file, and a directory would not do. Raises :class:`OSError`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
