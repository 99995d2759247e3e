"""Tokens that an administrator has taken back: a file of ``jti``s, one a line, for each issuer that is configured so.

It is looked at for every token and read anew when it has changed, as sshd does with RevokedKeys, and like there a file
that cannot be read refuses everybody.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

from hoopjump.decision.jose import TokenError
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token import VerifiedToken
from hoopjump.errors import HoopjumpError

FILE_LIMIT: Final = 1024 * 1024

log = logging.getLogger(__name__)

_Version = tuple[int, int, int, int]


class RevokedTokens:
    """The tokens of one issuer that were taken back; None for an issuer without a file.

    Raises :class:`HoopjumpError` for a file that cannot be used from the start. Safe to share between threads.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        # Both in one value, for it is put in place by whichever thread notices the change.
        self._known: tuple[_Version | None, frozenset[str] | None] = (None, frozenset())
        if path is not None:
            self._known = _read(path)

    def refuse(self, token: VerifiedToken) -> None:
        """Raise :class:`TokenError` for a token that was taken back, or was issued for one that was.

        hoopjump-ca tells in ``orig`` for which token of a provider it has issued its own.
        """
        if self._path is None:
            return
        listed = self._current(self._path)
        if listed is None:
            raise TokenError(Reason.TOKEN_REVOKED, f"{self._path} cannot be read, so every token may be on it")
        original = token.claims.get("orig")
        for name in (token.token_id, original.get("jti") if type(original) is dict else None):
            if type(name) is str and name in listed:
                raise TokenError(Reason.TOKEN_REVOKED, f"jti {name[:64]!a}")

    def _current(self, path: Path) -> frozenset[str] | None:
        version, listed = self._known
        try:
            if version is not None and _version(path.stat()) == version:
                return listed
            self._known = _read(path)
        except (OSError, HoopjumpError) as error:
            if listed is not None:
                log.error("tokens are refused, for nobody knows which were revoked: %s", error)  # noqa: TRY400
            self._known = (None, None)
        else:
            log.info("%d revoked tokens are listed in %s", len(self._known[1] or ()), path)
        return self._known[1]


def _version(status: os.stat_result) -> _Version:
    return (status.st_mtime_ns, status.st_ino, status.st_size, status.st_dev)


def _read(path: Path) -> tuple[_Version, frozenset[str]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise HoopjumpError(
            f"{path}: {error.strerror}", "it lists the tokens that were revoked; it may be empty"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise HoopjumpError(f"{path}: not a regular file")
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
            raise HoopjumpError(f"{path}: can be written by others", f"chown root {path}; chmod go-w {path}")
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise HoopjumpError(f"{path}: larger than {FILE_LIMIT} bytes", "a token that has ended need not be listed")
    try:
        lines = (line.strip() for line in data.decode().splitlines())
        return _version(status), frozenset(line for line in lines if line and not line.startswith("#"))
    except UnicodeDecodeError as error:
        raise HoopjumpError(f"{path}: not UTF-8 text") from error
