"""Tokens that come with logins and sessions: a provider is asked for its keys beside the event loop."""

from __future__ import annotations

import time
from collections.abc import Callable

from hoopjump.decision.certificate import Certificate
from hoopjump.decision.jose import TokenError
from hoopjump.decision.presented import embedded_token, in_certificate, in_environment
from hoopjump.decision.values import Presented, RefusedToken
from hoopjump.keys.asking import Asking
from hoopjump.keys.keysets import KeySets


class Tokens:
    """What tokens are worth."""

    def __init__(self, keys: KeySets, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._asking = Asking(keys, clock)

    def start(self) -> None:
        """Have keys kept fresh. Nobody waits for the first ones but a login that needs them."""
        self._keys.start(0)

    def stop(self) -> None:
        """Ask for no more keys."""
        self._keys.stop()
        self._asking.stop()

    async def embedded(self, certificate: Certificate, seconds: float) -> Presented:
        """The token in a certificate; a provider has so many seconds to tell its keys."""
        try:
            token = embedded_token(certificate)
            if token is None:
                return None
            verified = await self._asking.verify(token, seconds)
            section = self._keys.section(verified.issuer)
            return in_certificate(verified, section.user_attribute, certificate, bound=section.bound)
        except TokenError as error:
            return RefusedToken(error.reason, error.detail)

    async def environment(self, token: bytes | None, seconds: float) -> Presented:
        """The token that came as HOOPJUMP_TOKEN, if one did; likewise."""
        if token is None:
            return None
        try:
            verified = await self._asking.verify(token, seconds)
            section = self._keys.section(verified.issuer)
            return in_environment(verified, section.user_attribute, bound=section.bound)
        except TokenError as error:
            return RefusedToken(error.reason, error.detail)
