"""Files that say whose signatures count: believed only from those who may say so, written whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from hoopjump.errors import HoopjumpError

# A file that has been replaced or changed has another one.
Version = tuple[int, int, int, int, int]


class FileError(HoopjumpError):
    """A file is not one to believe."""


def version(status: os.stat_result) -> Version:
    """Which content a file has; the moment of its last change is the kernel's, which nobody can set (inode(7))."""
    return (status.st_ctime_ns, status.st_mtime_ns, status.st_ino, status.st_size, status.st_dev)


def read(path: Path, limit: int) -> tuple[bytes, Version]:
    """The content of a file of root's or our own that nobody else can write.

    Raises :class:`OSError` for one that cannot be read and :class:`FileError` for all others.
    """
    with _opened(path) as file:
        return _believed(file, path, limit, {0, os.geteuid()})


def read_state(path: Path, limit: int) -> tuple[bytes, Version]:
    """Like :func:`read`, for a file in a service's own directory, where nobody else can write either.

    Root reads the files of every service.
    """
    with _opened(path) as file:
        place = path.parent.stat()
        if place.st_uid not in {0, os.geteuid()} and os.geteuid() != 0:
            raise FileError(f"{path.parent}: belongs to uid {place.st_uid}")
        if place.st_mode & 0o022:
            raise FileError(f"{path.parent}: can be written by others", f"chmod go-w {path.parent}")
        return _believed(file, path, limit, {0, os.geteuid(), place.st_uid})


def _opened(path: Path) -> BinaryIO:
    more = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | more))


def _believed(file: BinaryIO, path: Path, limit: int, owners: set[int]) -> tuple[bytes, Version]:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise FileError(f"{path}: not a regular file")
    if status.st_uid not in owners or status.st_mode & 0o022:
        raise FileError(f"{path}: can be written by others", f"chown root {path}; chmod go-w {path}")
    data = file.read(limit + 1)
    if len(data) > limit:
        raise FileError(f"{path}: larger than {limit} bytes")
    return data, version(status)


def write_state(path: Path, data: bytes) -> Version:
    """Put a file of mode 0600 in the place of what is there; what root writes is its directory's owner's.

    Raises :class:`OSError`.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if os.geteuid() == 0:
                place = path.parent.stat()
                os.fchown(descriptor, place.st_uid, place.st_gid)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
            temporary.replace(path)
            # A new name is a change, too.
            written = version(os.fstat(descriptor))
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)
    return written


def _sync(directory: Path) -> None:
    """Have a new name outlast a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
