"""Tokens that were verified and still hold, so that none is verified twice."""

from __future__ import annotations

from hashlib import sha256
from sys import getsizeof
from typing import Any, Final

from hoopjump.decision.token import VerifiedToken

CAPACITY: Final = 65536
ROOM: Final = 64 * 1024 * 1024
# Of what is remembered of a token beside what it says: its digest, its place in two tables.
_ENTRY: Final = 512


class VerifiedTokens:
    """Remembers verified tokens by the SHA-256 of their bytes; only what was verified takes up room.

    An ended token is told to nobody. One is forgotten with its issuer's other ones (:meth:`forget`), when it is asked
    for after its end, or, where there is no room (``capacity`` tokens, ``room`` bytes of memory), as the one remembered
    longest. For one thread.
    """

    __slots__ = ("_capacity", "_left", "_room", "_sizes", "_tokens")

    def __init__(self, capacity: int = CAPACITY, room: int = ROOM) -> None:
        if capacity < 1:
            raise ValueError("a capacity of at least 1")
        self._capacity = capacity
        self._room = self._left = room
        self._sizes: dict[bytes, int] = {}
        self._tokens: dict[bytes, VerifiedToken] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def get(self, token: bytes, now: float) -> VerifiedToken | None:
        """What the token says, if it was verified and holds at ``now``."""
        digest = sha256(token).digest()
        found = self._tokens.get(digest)
        if found is None or found.begins <= now < found.ends:
            return found
        if now >= found.ends:
            self._drop(digest)
        return None

    def remember(self, token: bytes, verified: VerifiedToken) -> None:
        """Keep what :func:`hoopjump.decision.token.verify` said about a token."""
        digest, size = sha256(token).digest(), footprint(verified)
        if size > self._room:
            return
        if digest in self._tokens:
            self._drop(digest)
        while self._tokens and (len(self._tokens) >= self._capacity or size > self._left):
            self._drop(next(iter(self._tokens)))
        self._sizes[digest] = size
        self._left -= size
        self._tokens[digest] = verified

    def forget(self, issuer: str) -> int:
        """Forget an issuer's tokens, as its keys are no longer those that they were verified with; how many."""
        forgotten = [digest for digest, verified in self._tokens.items() if verified.issuer == issuer]
        for digest in forgotten:
            self._drop(digest)
        return len(forgotten)

    def _drop(self, digest: bytes) -> None:
        del self._tokens[digest]
        self._left += self._sizes.pop(digest)


def footprint(verified: VerifiedToken) -> int:
    """Bytes of memory that a remembered token takes up: of many small claims, far more than it had when it was sent."""
    size = _ENTRY
    waiting: list[Any] = [verified.claims, verified.groups]
    while waiting:
        value = waiting.pop()
        size += getsizeof(value)
        if isinstance(value, dict):
            waiting += value
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
    return size
