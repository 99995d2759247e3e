"""How much one may ask for, and what has been used up: bounded in memory whoever asks. For one thread."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from hoopjump.ca.refusal import RefusedError
from hoopjump.decision.reasons import Reason

REMEMBERED: Final = 65536
_IPV6_SITE: Final = 64  # what one subscriber has (RFC 6177)


def plain_address(source: str) -> str:
    """An address as people write it: an IPv4 one is one, also where the socket has both; raises :class:`ValueError`."""
    address = ipaddress.ip_address(source)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def neighbourhood(source: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 of an IPv6 one; raises :class:`ValueError`."""
    address = ipaddress.ip_address(plain_address(source))
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address) >> _IPV6_SITE << _IPV6_SITE, _IPV6_SITE)))
    return str(address)


class Buckets:
    """A token bucket for each name, of ``per_minute`` requests that come back over a minute.

    Where there is no room for another name, the one that asked longest ago is forgotten; by then its bucket may not be
    full again, but whoever has so many names could as well have used a fresh one.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float], remembered: int = REMEMBERED) -> None:
        self._size = float(per_minute)
        self._rate = per_minute / 60
        self._clock = clock
        self._remembered = remembered
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, name: str) -> bool:
        """Whether ``name`` may go on; a refusal costs nothing."""
        now = self._clock()
        level, since = self._levels.pop(name, (self._size, now))
        level = min(self._size, level + (now - since) * self._rate)
        allowed = level >= 1
        self._levels[name] = (level - 1 if allowed else level, now)
        if len(self._levels) > self._remembered:
            self._levels.popitem(last=False)
        return allowed


class UsedProofs:
    """Remembers proofs for as long as they could be used again.

    None is forgotten early: where there is no room, new ones are refused. Nor does a restart forget any: what was made
    before ``started`` (Unix seconds) is refused.
    """

    def __init__(self, started: float, remembered: int = REMEMBERED) -> None:
        self._started = int(started)
        self._remembered = remembered
        self._ends: OrderedDict[bytes, float] = OrderedDict()

    def refuse(self, proof: bytes, now: float) -> None:
        """Raise :class:`RefusedError` for a proof that has been used."""
        while self._ends and next(iter(self._ends.values())) < now:
            self._ends.popitem(last=False)
        if proof in self._ends:
            raise RefusedError(Reason.PROOF_REPLAYED)

    def use(self, proof: bytes, moment: int, now: float, window: float) -> None:
        """Use a proof up, which was made at ``moment``; raises :class:`RefusedError`."""
        self.refuse(proof, now)
        if moment < self._started:
            raise RefusedError(Reason.PROOF_STALE, "made before this service was started")
        if len(self._ends) >= self._remembered:
            raise RefusedError(Reason.CA_UNAVAILABLE, "too many proofs to remember")
        # A proof may be up to a window ahead of our clock; all are kept equally long, so that the first ends first.
        self._ends[proof] = now + 2 * window
