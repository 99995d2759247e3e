"""Tokens that come with logins: verified beside the event loop, and soon enough for sshd's hook."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from hoopjump.decision.certificate import Certificate
from hoopjump.decision.jose import TokenError
from hoopjump.decision.presented import embedded_token, in_certificate, in_environment
from hoopjump.decision.token import VerifiedToken
from hoopjump.decision.values import Presented, RefusedToken
from hoopjump.keys.keysets import KeySets

ANSWER_SECONDS: Final = 0.8  # of the 1.3 in which a session is decided
THREADS: Final = 8


class Tokens:
    """What tokens are worth."""

    def __init__(self, keys: KeySets, seconds: float = ANSWER_SECONDS, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._seconds = seconds
        self._clock = clock
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="keys")

    def start(self) -> None:
        """Have keys kept fresh. Nobody waits for the first ones but a login that needs them."""
        self._keys.start(0)

    def stop(self) -> None:
        """Ask for no more keys."""
        self._keys.stop()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def embedded(self, certificate: Certificate) -> Presented:
        """The token in a certificate."""
        try:
            token = embedded_token(certificate)
            if token is None:
                return None
            verified = await self._verify(token)
            section = self._keys.section(verified.issuer)
            return in_certificate(verified, section.user_attribute, certificate, bound=section.bound)
        except TokenError as error:
            return RefusedToken(error.reason, error.detail)

    async def environment(self, token: bytes | None) -> Presented:
        """The token that came as HOOPJUMP_TOKEN, if one did."""
        if token is None:
            return None
        try:
            verified = await self._verify(token)
            section = self._keys.section(verified.issuer)
            return in_environment(verified, section.user_attribute, bound=section.bound)
        except TokenError as error:
            return RefusedToken(error.reason, error.detail)

    async def _verify(self, token: bytes) -> VerifiedToken:
        try:
            return self._keys.verify_known(token, self._clock())
        except TokenError as error:
            if not self._keys.worth_asking(token, error):
                raise
            unknown = error
        asked = asyncio.get_running_loop().run_in_executor(self._executor, self._keys.verify, token, self._clock())
        try:
            async with asyncio.timeout(self._seconds):
                return await asked
        except TimeoutError:
            # The question goes on by itself, and its answer is there for the next login.
            raise unknown from None
