"""The last good key set of each provider, on disk: what a service that starts while a provider is down goes on with.

A set is public, and whoever may write here signs as everybody: so it is believed only from our own directory, only for
the configuration that it was fetched with, and is read as strictly as one from the network. What cannot be kept, or is
not believed, is told in the log and costs nothing but a provider's bad hour.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hoopjump.config import TokenIssuerSection
from hoopjump.decision.jwk import SET_LIMIT, KeySetError, parse_key_set
from hoopjump.errors import HoopjumpError
from hoopjump.keys.files import read_state, write_state
from hoopjump.keys.freshness import LIFETIME_CEILING, Moment, Standing, elapsed, resumed

# A set within JSON: its quotes are escaped.
FILE_LIMIT: Final = 2 * SET_LIMIT + 16 * 1024
_PREFIX: Final = "key-set-"

log = logging.getLogger(__name__)

_Span = Annotated[float, Field(ge=0)]


class _Kept(BaseModel):
    """What a file says: where a set came from, when, and how the provider fared since."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    source: dict[str, Any]
    wall: _Span
    steady: float
    fresh_for: Annotated[float, Field(ge=0, le=LIFETIME_CEILING)]
    failed_after: _Span | None
    key_set: str


class KeptSets:
    """The files of a directory, one for each issuer. ``wall`` is the calendar's clock, in Unix seconds."""

    def __init__(self, directory: Path, wall: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._wall = wall
        self._fault = ""

    def resume(self, section: TokenIssuerSection, now: float) -> Standing:
        """What is known of an issuer's keys at ``now`` (of the steady clock), be it nothing."""
        try:
            standing = self.read(section, now)
        except HoopjumpError as error:
            log.warning("the keys of %s that were kept are not believed: %s", section.issuer, error.message)
            return Standing()
        if standing.confirmed_at is not None:
            age = now - standing.confirmed_at
            log.info("the keys of %s are those of %.0f s ago, until its provider answers", section.issuer, age)
        return standing

    def read(self, section: TokenIssuerSection, now: float) -> Standing:
        """The same, but raises :class:`HoopjumpError` for a file that is not believed."""
        path = self._path(section.issuer)
        try:
            data, _ = read_state(path, FILE_LIMIT)
        except FileNotFoundError:
            return Standing()
        except OSError as error:
            raise HoopjumpError(f"{path}: {error.strerror}") from error
        try:
            kept = _Kept.model_validate_json(data)
            body = kept.key_set.encode()
            keys = parse_key_set(body, empty=True)
        except ValidationError as error:
            raise HoopjumpError(f"{path}: damaged: {error.errors()[0]['msg']}") from error
        except (ValueError, KeySetError) as error:
            raise HoopjumpError(f"{path}: damaged: {error}") from error
        if kept.source != _source(section):
            raise HoopjumpError(f"{path}: they were fetched with another configuration")
        age = elapsed(Moment(kept.wall, kept.steady), Moment(self._wall(), now))
        if age is None:
            raise HoopjumpError(f"{path}: is of a moment to come; a clock was set back")
        return resumed(keys, body, age=age, fresh_for=kept.fresh_for, failed_after=kept.failed_after, now=now)

    def keep(self, section: TokenIssuerSection, standing: Standing, now: float) -> None:
        """Write down what is known of an issuer's keys, where they came over a network."""
        answered, down = standing.confirmed_at, standing.down_since
        if not standing.body or answered is None:
            return
        kept = _Kept(
            source=_source(section),
            wall=max(0.0, self._wall() - (now - answered)),
            steady=answered,
            fresh_for=round(standing.fresh_until - answered, 3),
            failed_after=None if down is None else round(down - answered, 3),
            key_set=standing.body.decode(),
        )
        try:
            write_state(self._path(section.issuer), kept.model_dump_json().encode())
        except OSError as error:
            self._forget_earlier(section, standing, now)
            fault = f"{self._directory}: {error.strerror}"
            if fault != self._fault:
                log.warning("keys would not outlast a restart, for they cannot be written down: %s", fault)
            self._fault = fault
        else:
            self._fault = ""

    def _forget_earlier(self, section: TokenIssuerSection, standing: Standing, now: float) -> None:
        """Better none than a set with keys that the provider has taken out since."""
        try:
            if self.read(section, now).body == standing.body:
                return
        except HoopjumpError:
            # It may be another's mistake, and is not believed anyway.
            return
        with contextlib.suppress(OSError):
            self._path(section.issuer).unlink(missing_ok=True)

    def forget_others(self, issuers: Iterable[str]) -> None:
        """Remove the files of other issuers, and what a service that was killed left half written."""
        wanted = {self._path(issuer).name for issuer in issuers}
        with contextlib.suppress(OSError):
            for path in self._directory.iterdir():
                if path.name.lstrip(".").startswith(_PREFIX) and path.name not in wanted:
                    path.unlink(missing_ok=True)

    def _path(self, issuer: str) -> Path:
        return self._directory / f"{_PREFIX}{hashlib.sha256(issuer.encode()).hexdigest()[:32]}.json"


def _source(section: TokenIssuerSection) -> dict[str, Any]:
    """All that says which keys are an issuer's, and how they may be fetched."""
    return section.model_dump(mode="json", include={"issuer", "keys", "ca_file", "allow_http", "allow_private"})
