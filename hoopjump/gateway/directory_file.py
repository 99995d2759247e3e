"""Internal UUIDs of users from a CSV file that an administrator keeps.

The first line is ``subject,user_id,email``; each further line is one user, the address may be empty. The gateway
shows a UUID once, in its answer to ``POST /users``; its database has them all.
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import threading
from pathlib import Path
from typing import Final

from hoopjump.config import ConfigError

_HEADER: Final = ["subject", "user_id", "email"]
_LIMIT: Final = 64 * 1024 * 1024
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")

Rows = dict[str, tuple[str, str]]


class DirectoryFile:
    """``subject,user_id,email`` by UUID; read again when the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int, int] | None = None
        self._rows: Rows = {}

    def subject(self, user_id: str) -> tuple[str, str] | None:
        """Subject and address of a lower-case UUID; raises :class:`ConfigError` with file and line."""
        with self._lock:
            try:
                with open(self._path, "rb", opener=_open) as file:
                    status = os.fstat(file.fileno())
                    seen = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
                    if seen != self._seen:
                        self._check(status)
                        self._rows = parse(file.read(_LIMIT), str(self._path))
                        self._seen = seen
            except OSError as error:
                raise ConfigError(f"{self._path}: {error.strerror}") from error
            return self._rows.get(user_id)

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode) or status.st_size >= _LIMIT:
            raise ConfigError(f"{self._path}: not a regular file of less than {_LIMIT} bytes")
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            raise ConfigError(
                f"{self._path}: whoever writes this file decides who is who: it must belong to {os.geteuid()} or root",
                f"chmod go-w {self._path}",
            )


def _open(name: str, flags: int) -> int:
    """Also a FIFO must not hold up a login."""
    return os.open(name, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


def parse(data: bytes, name: str) -> Rows:
    """UUID (lower case) → (subject, e-mail address); ``name`` is what errors call the file."""
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
        rows: Rows = {}
        subjects: set[str] = set()
        for row in reader:
            place = f"{name}:{reader.line_num}"
            if reader.line_num == 1:
                if row != _HEADER:
                    raise ConfigError(f"{place}: the first line must be {','.join(_HEADER)}")
                continue
            if len(row) != len(_HEADER) or not row[0]:
                raise ConfigError(f"{place}: not subject,user_id,email")
            subject, user_id, email = row[0], row[1].lower(), row[2]
            if not _UUID.match(user_id):
                raise ConfigError(f"{place}: user_id is not a UUID")
            if user_id in rows or subject in subjects:
                raise ConfigError(f"{place}: this user stands in the file twice")
            rows[user_id] = (subject, email)
            subjects.add(subject)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 text") from error
    except csv.Error as error:
        raise ConfigError(f"{name}:{reader.line_num}: {error}") from error
    if reader.line_num == 0:
        raise ConfigError(f"{name}: empty; the first line must be {','.join(_HEADER)}")
    return rows
