"""Files that an administrator names: read with a bound, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from hoopjump.errors import HoopjumpError

PRIVATE: Final = 0o600
PUBLIC: Final = 0o644


class FileError(HoopjumpError):
    """A file cannot be read, is too large, or is there already."""


def read_bounded(name: str, limit: int) -> bytes:
    """The content of a file, or of stdin for ``-``; more than ``limit`` bytes are a :class:`FileError`.

    No more than the bound is ever read, so that an endless file costs nothing.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise FileError(f"{name}: {error.strerror}") from error
    if len(data) > limit:
        raise FileError(f"{name}: larger than {limit} bytes")
    return data


def refuse_existing(*paths: Path) -> None:
    """Raises :class:`FileError` when one of them is there, be it a dangling link."""
    for path in paths:
        if path.is_symlink() or path.exists():
            raise FileError(f"{path}: is there already", "--force replaces it")


def write(path: Path, data: bytes, mode: int, *, replace: bool) -> None:
    """Write a file whole: a temporary one beside it, on disk, then put in place in one step.

    Without ``replace`` an existing ``path`` stays as it is and is a :class:`FileError`, also when it appears at the
    last moment. The mode holds from the first byte on.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise FileError(f"{path.parent}: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)
    except FileExistsError:
        raise FileError(f"{path}: is there already", "--force replaces it") from None
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
