"""What is known of an issuer's keys, for people and JSON."""

from __future__ import annotations

from typing import Any

from hoopjump.config import TokenIssuerSection
from hoopjump.decision.jwk import Key
from hoopjump.decision.reasons import Reason
from hoopjump.keys.dropped import Dropped, without
from hoopjump.keys.freshness import Standing


def row(
    section: TokenIssuerSection, standing: Standing, dropped: frozenset[Dropped] | None, now: float
) -> dict[str, Any]:
    """One issuer at ``now``; spans are in seconds. Dropped keys that have left the set stand behind the others."""
    issuer, secret = section.issuer, section.secret is not None
    keys = without(standing.keys, issuer, dropped).keys if standing.keys else ()
    gone = [one for one in dropped or () if one.issuer == issuer and not any(one.covers(issuer, key) for key in keys)]
    until = standing.believed_until(section.kept)
    return {
        "issuer": issuer,
        "source": section.keys,
        "bound": section.bound,
        "state": "secret" if secret else _state(standing, until, now),
        "keys": [*map(_key, keys), *map(_gone, sorted(gone, key=lambda one: (one.kid or "", one.thumbprint)))],
        "age": None if standing.confirmed_at is None else round(now - standing.confirmed_at),
        "refresh_in": None if secret else max(0, round(standing.due_at - now)),
        "refused_in": None if secret or standing.keys is None else max(0, round(until - now)),
        "fault": standing.fault or None,
    }


def _state(standing: Standing, until: float, now: float) -> str:
    if now >= until:
        return "refused"
    return "fresh" if standing.down_since is None and now < standing.fresh_until else "kept"


def _key(key: Key) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "kind": key.kind,
        "thumbprint": key.thumbprint,
        "algorithms": sorted(key.algorithms),
        "flaw": key.why or None,
        "dropped": key.flaw is Reason.TOKEN_KEY_DROPPED,
        "in_set": True,
    }


def _gone(one: Dropped) -> dict[str, Any]:
    return {
        "kid": one.kid,
        "kind": "-",
        "thumbprint": one.thumbprint,
        "algorithms": [],
        "flaw": None,
        "dropped": True,
        "in_set": False,
    }
