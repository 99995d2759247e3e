"""Tokens that an administrator has taken back: a file of ``jti``s, one a line, for each issuer that is configured so.

It is looked at for every token and read anew when it has changed, as sshd does with RevokedKeys, and like there a file
that cannot be read refuses everybody. What is in already is not ended by such a file: only a name that stands in it,
on a line that was written to its end, ends anything.
"""

from __future__ import annotations

import logging
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from hoopjump.decision.jose import TokenError
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token import VerifiedToken
from hoopjump.decision.token_mark import TokenMark, short
from hoopjump.errors import HoopjumpError
from hoopjump.keys.files import Version, read, version

FILE_LIMIT: Final = 1024 * 1024

log = logging.getLogger(__name__)


class RevokedTokens:
    """What was taken back of the tokens of each issuer (a name, and its file if it has one).

    ``names`` are all that end logins, whoever's, as of the last look: only what has one of them can be taken back.
    Raises :class:`HoopjumpError` for a file that cannot be used from the start. Safe to share between threads.
    """

    def __init__(self, files: Mapping[str, Path | None]) -> None:
        self._lists = {short(issuer): _List(path) for issuer, path in files.items() if path is not None}
        self._seen: tuple[_Known | None, ...] = ()
        self.names: frozenset[str] = frozenset()
        self.look()

    def refuse(self, token: VerifiedToken) -> None:
        """Raise :class:`TokenError` for a token that was taken back, or was issued for one that was.

        hoopjump-ca tells in ``orig`` for which token of a provider it has issued its own.
        """
        if not self._lists:
            return
        for listing, names in self._concerning(token.mark):
            known = listing.current()
            if known is None:
                raise TokenError(Reason.TOKEN_REVOKED, f"{listing.path} cannot be read, so every token may be on it")
            for name in names:
                if name in known.names:
                    raise TokenError(Reason.TOKEN_REVOKED, f"jti {name[:64]!a}")

    def look(self) -> None:
        """Read again what has changed; blocks as long as the file system does."""
        seen = tuple(listing.current() for listing in self._lists.values())
        if seen != self._seen:
            self._seen = seen
            self.names = frozenset[str]().union(*(known.whole for known in seen if known is not None))

    def taken_back(self, mark: TokenMark) -> str | None:
        """The name by which a token is known to be taken back, as of the last look; None while nobody can tell."""
        for listing, names in self._concerning(mark):
            known = listing.known
            found = None if known is None else next((name for name in names if name in known.whole), None)
            if found is not None:
                return found
        return None

    def _concerning(self, mark: TokenMark) -> Iterator[tuple[_List, list[str]]]:
        """The lists that a token may stand on: its issuer's, and that of the issuer of the token it was issued for."""
        own = self._lists.get(mark.issuer)
        if own is not None:
            yield own, [name for name in (mark.token_id, mark.original_id) if name is not None]
        if mark.original_issuer is not None and mark.original_issuer != mark.issuer:
            original = self._lists.get(mark.original_issuer)
            if original is not None:
                yield original, [] if mark.original_id is None else [mark.original_id]


class _Known(NamedTuple):
    """What a file said: ``names`` are all, ``whole`` those whose line has its end."""

    version: Version
    names: frozenset[str]
    whole: frozenset[str]


class _List:
    """One file. ``known`` is what it said at the last look, None while it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # One value, for it is put in place by whichever thread notices the change.
        self.known: _Known | None = _read(path)

    def current(self) -> _Known | None:
        """What the file says now."""
        known = self.known
        try:
            if known is None or version(self.path.stat()) != known.version:
                self.known = fresh = _read(self.path)
                log.info("%d revoked tokens are listed in %s", len(fresh.names), self.path)
        except (OSError, HoopjumpError) as error:
            if known is not None:
                log.error("tokens are refused, for nobody knows which were revoked: %s", error)  # noqa: TRY400
            self.known = None
        return self.known


def _read(path: Path) -> _Known:
    try:
        data, found = read(path, FILE_LIMIT)
    except OSError as error:
        hint = "it lists the tokens that were revoked; it may be empty"
        raise HoopjumpError(f"{path}: {error.strerror}", hint) from error
    # Some editors begin with a mark, which would be a part of the first name.
    data = data.removeprefix(BOM_UTF8)
    # What is behind the last newline may be the beginning of a name.
    end = data.rfind(b"\n") + 1
    try:
        whole, begun = _names(data[:end].decode()), _names(data[end:].decode())
    except UnicodeDecodeError as error:
        raise HoopjumpError(f"{path}: not UTF-8 text") from error
    if begun:
        log.warning("%s: its last line has no end; it refuses tokens, and ends no login until it has", path)
    return _Known(found, whole | begun, whole)


def _names(text: str) -> frozenset[str]:
    # A line ends with a newline and with nothing else of what Unicode has for that.
    lines = (line.strip() for line in text.split("\n"))
    return frozenset(short(line) for line in lines if line and not line.startswith("#"))
