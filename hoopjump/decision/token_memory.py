"""Tokens that were verified and still hold, so that none is verified twice."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from typing import Final

from hoopjump.decision.token import VerifiedToken

CAPACITY: Final = 65536
# Of tokens as they were sent; with their claims read they take two to three times as much.
ROOM: Final = 32 * 1024 * 1024


class VerifiedTokens:
    """Remembers verified tokens by the SHA-256 of their bytes; only what was verified takes up room.

    An ended token is told to nobody. One is forgotten when its key leaves the set, or, where there is no room
    (``capacity`` tokens, ``room`` bytes of them), as the one remembered longest. For one thread.
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
        found = self._tokens.get(sha256(token).digest())
        return found if found is not None and found.begins <= now < found.ends else None

    def remember(self, token: bytes, verified: VerifiedToken) -> None:
        """Keep what :func:`hoopjump.decision.token.verify` said about a token."""
        digest, size = sha256(token).digest(), len(token)
        if size > self._room:
            return
        if digest not in self._tokens:
            while self._tokens and (len(self._tokens) >= self._capacity or size > self._left):
                self._drop(next(iter(self._tokens)))
            self._sizes[digest] = size
            self._left -= size
        self._tokens[digest] = verified

    def keep_keys(self, issuer: str, thumbprints: Collection[str]) -> int:
        """Forget an issuer's tokens that other keys signed; how many they were."""
        forgotten = [
            digest
            for digest, verified in self._tokens.items()
            if verified.issuer == issuer and verified.key not in thumbprints
        ]
        for digest in forgotten:
            self._drop(digest)
        return len(forgotten)

    def _drop(self, digest: bytes) -> None:
        del self._tokens[digest]
        self._left += self._sizes.pop(digest)
