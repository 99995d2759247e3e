"""Logins end with the tokens that let them in: when one is taken back by its name, or its key by an administrator.

The lists of names are looked at every two seconds. Only what stands in one ends a login, so one that cannot be read
ends none, nor does a key that leaves its set by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hoopjump.daemon.login import Login
from hoopjump.daemon.logins import LoginTable
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token_mark import TokenMark
from hoopjump.keys.revoked import RevokedTokens

LOOK_SECONDS: Final = 2.0
# A login may have been decided just before its key was dropped; sshd's hook waits two seconds for the admission.
LATE_SECONDS: Final = 10.0
TOKENS_AT_ONCE: Final = 500  # are looked at before anybody else's turn, in about a millisecond

log = logging.getLogger(__name__)


Cut = Callable[[Login, str, Reason], None]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that administrators name: ``name`` and ``prints`` (issuer, thumbprint) say whose tokens are meant.

    Where no issuer has such a key any more, it is known by its name alone.
    """

    name: str
    prints: frozenset[tuple[str, str]] = frozenset()

    def signed(self, token: TokenMark) -> bool:
        """Whether a token is of this key."""
        if self.prints:
            return (token.issuer, token.key) in self.prints or (
                token.kid == self.name and any(issuer == token.issuer for issuer, _ in self.prints)
            )
        return self.name in (token.kid, token.key)


class Revocations:
    """Ends logins by ``cut`` (:meth:`hoopjump.daemon.watch.Watch.cut`). Must be used inside a running event loop.

    ``seconds`` are between two looks at the lists; ``clock`` is steady.
    """

    def __init__(
        self,
        table: LoginTable,
        revoked: RevokedTokens,
        cut: Cut,
        seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._revoked = revoked
        self._cut = cut
        self._seconds = seconds
        self._clock = clock
        self._ended: dict[SigningKey, tuple[float, str]] = {}  # until when, and who wanted it
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now, for what was taken back while no daemon ran, and from then on."""
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Read the lists that have changed, and end the logins whose tokens they name."""
        await asyncio.to_thread(self._revoked.look)
        await self._sweep()

    def let_in(self, key: SigningKey) -> int:
        """How many logins go on that tokens of a key have let in."""
        return sum(1 for login in self._table if login.live and any(map(key.signed, login.admission.tokens)))

    async def end(self, key: SigningKey, detail: str) -> int:
        """End the logins that tokens of a key have let in, also those that are just being admitted; how many went on.

        ``detail`` says in the log who wanted that.
        """
        self._ended[key] = (self._clock() + LATE_SECONDS, detail)
        found = self.let_in(key)
        await self._sweep()
        return found

    def forget(self, key: SigningKey) -> None:
        """A key is taken again: what it lets in from now on goes on."""
        for ended in [one for one in self._ended if one.name == key.name or not key.prints.isdisjoint(one.prints)]:
            del self._ended[ended]

    async def _follow(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("nobody knows which logins' tokens were taken back")
            await asyncio.sleep(self._seconds)

    async def _sweep(self) -> None:
        now = self._clock()
        self._ended = {key: ended for key, ended in self._ended.items() if now < ended[0]}
        if not self._ended and not self._revoked.names:
            return
        looked_at = 0
        for login in self._table:
            why = self._why(login) if login.live else None
            if why is not None:
                try:
                    self._cut(login, *why)
                except OSError:
                    log.exception("login %s could not be ended; that is tried again", login.ref)
            looked_at += 1 + len(login.admission.tokens) * (1 + len(self._ended))
            # Ending one means reading /proc; others want answers meanwhile.
            if why is not None or looked_at >= TOKENS_AT_ONCE:
                looked_at = 0
                await asyncio.sleep(0)

    def _why(self, login: Login) -> tuple[str, Reason] | None:
        names = self._revoked.names
        for token in login.admission.tokens:
            if token.token_id in names or token.original_id in names:
                name = self._revoked.taken_back(token)
                if name is not None:
                    return f"jti {name[:64]!a} of a token of {token.issuer!a}", Reason.TOKEN_REVOKED
            for key, (_, detail) in self._ended.items():
                if key.signed(token):
                    return detail, Reason.TOKEN_KEY_DROPPED
        return None
