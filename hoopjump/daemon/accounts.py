"""Which uid an account has, asked beside the event loop: the account database may be a network away (nsswitch.conf(5)).

sshd has looked the account up before it starts its hook, and asks up to twice a login, so an answer is kept for a
moment. Only sshd decides what an account may do; here the uid says whose processes belong to a login.
"""

from __future__ import annotations

import asyncio
import pwd
import time
from collections.abc import Callable
from typing import Final

ACCOUNT_SECONDS: Final = 1.0
KEPT_SECONDS: Final = 5.0
KEPT: Final = 1024


class AccountUids:
    """The uids of accounts; one that is there is remembered for :data:`KEPT_SECONDS`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[int, float]] = {}

    def known(self, account: str) -> int | None:
        """The account's uid, if it is remembered."""
        kept = self._kept.get(account)
        return kept[0] if kept is not None and self._clock() < kept[1] else None

    async def uid(self, account: str) -> int | None:
        """The account's uid, None where there is no such account or no answer within :data:`ACCOUNT_SECONDS`."""
        known = self.known(account)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(ACCOUNT_SECONDS):
                entry = await asyncio.to_thread(pwd.getpwnam, account)
        except (KeyError, ValueError, TimeoutError):
            self._kept.pop(account, None)
            return None
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[account] = (entry.pw_uid, self._clock() + KEPT_SECONDS)
        return entry.pw_uid
