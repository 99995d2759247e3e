"""Files that an administrator names: read with a bound, written whole or not at all."""

from __future__ import annotations

import os
import select
import stat
import sys
from pathlib import Path
from typing import Final

from hoopjump.atomic import replacing
from hoopjump.errors import HoopjumpError

PRIVATE: Final = 0o600
PUBLIC: Final = 0o644
# In which a writer appears at a pipe that has none.
PIPE_MILLISECONDS: Final = 2000


class FileError(HoopjumpError):
    """A file cannot be read, is too large, or is there already."""


class TooLargeError(FileError):
    """A file is larger than it can sensibly be."""


def read_bounded(name: str, limit: int) -> bytes:
    """The content of a file, or of stdin for ``-``; more than ``limit`` bytes are a :class:`TooLargeError`.

    No more than the bound is ever read, so that an endless file costs nothing. A pipe is read to its end; one that
    nobody writes into is a :class:`FileError`.
    """
    try:
        if name == "-":
            if sys.stdin is None:
                raise FileError("standard input is closed")
            data = sys.stdin.buffer.read(limit + 1)
        else:
            # Opening a pipe without O_NONBLOCK waits for a writer, and be it for ever.
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                first = _first_of_pipe(name, descriptor) if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else b""
                os.set_blocking(descriptor, True)
                data = first + file.read(limit + 1)
    except OSError as error:
        raise FileError(f"{name}: {error.strerror}") from error
    if len(data) > limit:
        raise TooLargeError(f"{name}: larger than {limit} bytes")
    return data


def _first_of_pipe(name: str, descriptor: int) -> bytes:
    """The first byte, or nothing where a writer is there and has not written yet."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(PIPE_MILLISECONDS)
    try:
        first = os.read(descriptor, 1)
    except BlockingIOError:
        return b""
    if not first:
        raise FileError(f"{name}: nobody writes into this pipe")
    return first


def refuse_existing(*paths: Path) -> None:
    """Raises :class:`FileError` when one of them is there, be it a dangling link."""
    for path in paths:
        if path.is_symlink() or path.exists():
            raise FileError(f"{path}: is there already", "--force replaces it")


def write(path: Path, data: bytes, mode: int, *, replace: bool) -> None:
    """Write a file whole or not at all; without ``replace`` an existing one stays, and is a :class:`FileError`."""
    try:
        with replacing(path, mode, anew=not replace) as file:
            file.write(data)
    except FileExistsError:
        raise FileError(f"{path}: is there already", "--force replaces it") from None
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
