"""How long a key set is believed, and when its provider is asked again; pure. Times are seconds of one steady clock."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from hoopjump.decision.jwk import KeySet

# Whatever a provider says (RFC 9111 section 5.2.2.1): not more often than the one, and a key that was taken out of the
# set is not believed for longer than the other.
LIFETIME_FLOOR: Final = 60.0
LIFETIME_CEILING: Final = 3600.0
LIFETIME_USUAL: Final = 600.0

# The part of its lifetime after which a set is asked for again, so that nobody ever waits for it.
EARLY: Final = 0.8

UNKNOWN_KEY_SECONDS: Final = 10.0
RETRY_FIRST: Final = 10.0
RETRY_LAST: Final = 300.0

_MAX_AGE: Final = re.compile(r"(?:\A|,)\s*max-age\s*=\s*\"?([0-9]{1,10})\"?\s*(?=,|\Z)", re.IGNORECASE)
_NOT_KEPT: Final = re.compile(r"(?:\A|,)\s*no-(?:store|cache)\s*(?==|,|\Z)", re.IGNORECASE)


def lifetime(cache_control: str | None, age: str | None) -> float:
    """Seconds for which an answer is fresh by its headers ``Cache-Control`` and ``Age``, within floor and ceiling."""
    if cache_control is None:
        return LIFETIME_USUAL
    if _NOT_KEPT.search(cache_control):
        return LIFETIME_FLOOR
    found = _MAX_AGE.search(cache_control)
    if found is None:
        return LIFETIME_USUAL
    passed = int(age) if age is not None and re.fullmatch(r"[0-9]{1,10}", age) else 0
    return min(max(float(int(found[1]) - passed), LIFETIME_FLOOR), LIFETIME_CEILING)


@dataclass(frozen=True, slots=True)
class Validator:
    """What an answer of a URL is asked about again with: its ETag (RFC 9110 section 8.8.3).

    ``cache_control`` holds on for an answer that has not changed and says nothing of it (RFC 9111 section 3.2).
    """

    url: str
    etag: str
    cache_control: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an issuer's keys.

    ``body`` is what ``keys`` were read from, where that came over a network. ``fresh_until`` and ``due_at`` are set by
    the last answer, ``tried_at`` by the last question; ``down_since`` is the first failure since an answer, ``fault``
    the last one in words.
    """

    keys: KeySet | None = None
    body: bytes = b""
    validator: Validator | None = None
    confirmed_at: float | None = None
    fresh_until: float = 0.0
    due_at: float = 0.0
    tried_at: float | None = None
    down_since: float | None = None
    failures: int = 0
    fault: str = ""

    def believed_until(self, kept: float) -> float:
        """The moment from which the keys are refused when no answer comes; ``kept`` is the issuer's."""
        if self.keys is None:
            return 0.0
        # A failure that comes late, as after a restart, gives no more time.
        return min(self.fresh_until, self.fresh_until if self.down_since is None else self.down_since) + kept

    def may_ask(self, now: float) -> bool:
        """Whether an unknown key is a reason to ask: not when that was done a moment ago."""
        return self.tried_at is None or now >= self.tried_at + UNKNOWN_KEY_SECONDS


def asked(standing: Standing, now: float) -> Standing:
    """The provider is being asked."""
    return replace(standing, tried_at=now)


def confirmed(
    standing: Standing,
    now: float,
    keys: KeySet | None,
    validator: Validator | None,
    seconds: float,
    *,
    body: bytes = b"",
) -> Standing:
    """The provider has answered, with ``keys``, or (None) that they are still what they were."""
    return Standing(
        keys=standing.keys if keys is None else keys,
        body=standing.body if keys is None else body,
        validator=standing.validator if keys is None else validator,
        confirmed_at=now,
        fresh_until=now + seconds,
        due_at=now + EARLY * seconds,
        tried_at=standing.tried_at,
    )


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by the calendar's clock (Unix seconds), and by the steady one, which begins anew with the machine."""

    wall: float
    steady: float


def elapsed(then: Moment, now: Moment) -> float | None:
    """Seconds since a moment, perhaps one before the machine's last start; None for a moment to come.

    The calendar's clock may have been set since. The steady one proves a part of the truth, so the longer span counts:
    where it has gone on, that; where it has begun anew, all of it.
    """
    if now.wall < then.wall:
        return None
    steady = now.steady - then.steady if now.steady >= then.steady else now.steady
    return max(now.wall - then.wall, steady)


def resumed(
    keys: KeySet, body: bytes, *, age: float, fresh_for: float, failed_after: float | None, now: float
) -> Standing:
    """What an earlier process knew of keys that it got ``age`` seconds ago; the provider is to be asked at once.

    ``failed_after`` says how long after that the provider failed for the first time, None that it did not.
    """
    answered = now - age
    return Standing(
        keys=keys,
        body=body,
        confirmed_at=answered,
        fresh_until=answered + fresh_for,
        due_at=now,
        down_since=None if failed_after is None else answered + failed_after,
    )


def failed(standing: Standing, now: float, fault: str) -> Standing:
    """The provider gave no usable answer; it is asked again soon, and then less and less often."""
    pause = min(RETRY_FIRST * 2.0 ** min(standing.failures, 10), RETRY_LAST)
    return replace(
        standing,
        due_at=now + pause,
        down_since=now if standing.down_since is None else standing.down_since,
        failures=standing.failures + 1,
        fault=fault,
    )
