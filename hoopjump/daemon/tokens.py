"""Tokens that come with logins: verified beside the event loop, and soon enough for sshd's hook."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from hoopjump.decision.certificate import Certificate
from hoopjump.decision.jose import TokenError
from hoopjump.decision.presented import embedded_token, in_certificate, in_environment
from hoopjump.decision.values import Presented, RefusedToken
from hoopjump.keys.asking import Asking
from hoopjump.keys.keysets import KeySets

ANSWER_SECONDS: Final = 0.8  # of the 1.3 in which a session is decided


class Tokens:
    """What tokens are worth."""

    def __init__(self, keys: KeySets, seconds: float = ANSWER_SECONDS, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._seconds = seconds
        self._asking = Asking(keys, clock)

    def start(self) -> None:
        """Have keys kept fresh. Nobody waits for the first ones but a login that needs them."""
        self._keys.start(0)

    def stop(self) -> None:
        """Ask for no more keys."""
        self._keys.stop()
        self._asking.stop()

    async def embedded(self, certificate: Certificate) -> Presented:
        """The token in a certificate."""
        try:
            token = embedded_token(certificate)
            if token is None:
                return None
            verified = await self._asking.verify(token, self._seconds)
            section = self._keys.section(verified.issuer)
            return in_certificate(verified, section.user_attribute, certificate, bound=section.bound)
        except TokenError as error:
            return RefusedToken(error.reason, error.detail)

    async def environment(self, token: bytes | None) -> Presented:
        """The token that came as HOOPJUMP_TOKEN, if one did."""
        if token is None:
            return None
        try:
            verified = await self._asking.verify(token, self._seconds)
            section = self._keys.section(verified.issuer)
            return in_environment(verified, section.user_attribute, bound=section.bound)
        except TokenError as error:
            return RefusedToken(error.reason, error.detail)
