"""The keys of all configured issuers, kept fresh beside whoever verifies tokens with them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hoopjump.config import TokenIssuerSection
from hoopjump.decision.jose import TokenError, parse_segment
from hoopjump.decision.jwk import KeySet
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token import VerifiedToken, verify
from hoopjump.decision.token_memory import VerifiedTokens
from hoopjump.decision.token_policy import SharedSecret, TrustedIssuer
from hoopjump.errors import HoopjumpError
from hoopjump.keys.dropped import DroppedKeys, called, without
from hoopjump.keys.freshness import Standing, Validator, asked, confirmed, failed
from hoopjump.keys.kept import KeptSets
from hoopjump.keys.revoked import RevokedTokens
from hoopjump.keys.rows import row
from hoopjump.keys.sources import Loaded, load_keys, shared_secret

# What a refresh may cure: a key that has come since, and a provider that was down.
_CURABLE: Final = frozenset({Reason.TOKEN_KEY_UNKNOWN, Reason.TOKEN_KEYS_UNAVAILABLE})
_UNKNOWN: Final = frozenset({Reason.TOKEN_KEY_UNKNOWN, Reason.TOKEN_KEY_UNNAMED})
_EMPTY: Final = KeySet.of()

log = logging.getLogger(__name__)

Loader = Callable[[TokenIssuerSection, Validator | None], Loaded]


def steady() -> float:
    """Seconds since the machine's start, also those for which it was asleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class _Line:
    """One issuer: ``loading`` is held by whoever asks its provider."""

    section: TokenIssuerSection
    secret: SharedSecret | None
    standing: Standing = field(default_factory=Standing)
    loading: threading.Lock = field(default_factory=threading.Lock)
    refusing: bool = False


class KeySets:
    """Verifies tokens of the configured issuers; safe to share between threads.

    Without :meth:`start` keys are loaded when a token first needs them. ``dropped`` and ``kept`` are what outlasts this
    process; None keeps it in memory. ``clock`` is steady, in seconds. Raises :class:`HoopjumpError` for a secret or a
    file that cannot be used.
    """

    def __init__(
        self,
        sections: Iterable[TokenIssuerSection],
        dropped: DroppedKeys | None = None,
        kept: KeptSets | None = None,
        *,
        load: Loader = load_keys,
        clock: Callable[[], float] = steady,
    ) -> None:
        self._lines = {section.issuer: _Line(section, shared_secret(section)) for section in sections}
        self.revoked: Final = RevokedTokens({issuer: line.section.revoked for issuer, line in self._lines.items()})
        self._drops = dropped or DroppedKeys()
        self._kept = kept
        self._load = load
        self._clock = clock
        self._dropped = self._drops.current()
        self._lock = threading.Lock()  # of what follows, of the standings, and of what was dropped
        self._memory = VerifiedTokens()
        self._trusted: Mapping[str, TrustedIssuer] = {}
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        if kept is not None:
            for line in self._lines.values():
                line.standing = kept.resume(line.section, clock())
        with self._lock:
            self._settle()

    # -- Verifying ---------------------------------------------------------------------------------------------------

    def trusted(self) -> Mapping[str, TrustedIssuer]:
        """The issuers with their keys as they are now; one whose keys cannot be had has none."""
        if self._drops.current() is not self._dropped:
            with self._lock:
                self._settle()
        self._refuse_what_is_too_old()
        return self._trusted

    @property
    def issuers(self) -> tuple[str, ...]:
        """The names of all issuers."""
        return tuple(self._lines)

    def section(self, issuer: str) -> TokenIssuerSection:
        """How an issuer is configured; raises :class:`KeyError`."""
        return self._lines[issuer].section

    def verify_known(self, token: bytes, now: float) -> VerifiedToken:
        """Verify a token with the keys at hand, without waiting for anything; ``now`` is Unix seconds.

        Raises :class:`TokenError`.
        """
        trusted = self.trusted()
        with self._lock:
            found = self._memory.get(token, now)
        if found is not None:
            self.revoked.refuse(found)
            return found
        try:
            verified = verify(token, trusted, now)
            self.revoked.refuse(verified)
        except TokenError as error:
            line = self._named(token) if error.reason in _UNKNOWN else None
            if line is not None and not self._believed(line):
                fault = line.standing.fault or "not fetched yet"
                raise TokenError(Reason.TOKEN_KEYS_UNAVAILABLE, fault[:400]) from None
            raise
        with self._lock:
            # A refresh in between may have taken the key out.
            if self._trusted is trusted:
                self._memory.remember(token, verified)
        return verified

    def verify(self, token: bytes, now: float) -> VerifiedToken:
        """Verify a token; where its key is not known, ask the provider first, if that was not done a moment ago.

        That may block for some seconds. Raises :class:`TokenError`.
        """
        try:
            return self.verify_known(token, now)
        except TokenError as error:
            issuer = self.worth_asking(token, error)
            if issuer is None:
                raise
        self.ask_again(issuer)
        return self.verify_known(token, now)

    def worth_asking(self, token: bytes, error: TokenError) -> str | None:
        """The issuer whose provider, if it is asked or waited for, may know what the token was refused for."""
        line = self._named(token) if error.reason in _CURABLE else None
        if line is None or line.secret is not None:
            return None
        return line.section.issuer if line.loading.locked() or line.standing.may_ask(self._clock()) else None

    def ask_again(self, issuer: str) -> None:
        """Ask for an issuer's keys, unless that was done a moment ago; whoever is asking is waited for. Blocks."""
        line = self._lines[issuer]
        with line.loading:
            if line.standing.may_ask(self._clock()):
                self._ask(line)

    def _named(self, token: bytes) -> _Line | None:
        """The issuer that a token names; it has been read before, so it can be."""
        issuer = parse_segment(token.split(b".")[1]).get("iss")
        return self._lines.get(issuer) if type(issuer) is str else None

    # -- Keeping fresh -----------------------------------------------------------------------------------------------

    def start(self, seconds: float) -> None:
        """Keep all keys fresh from now on, and wait at most ``seconds`` for the first answers."""
        if self._kept is not None:
            self._kept.forget_others(self._lines)
        waiting = [(line, line.standing.confirmed_at) for line in self._lines.values() if line.secret is None]
        for line, _ in waiting:
            name = f"keys of {line.section.issuer}"
            self._threads.append(threading.Thread(target=self._follow, args=(line,), name=name, daemon=True))
        for thread in self._threads:
            thread.start()
        end = time.monotonic() + seconds
        while waiting and time.monotonic() < end and not self._stopped.wait(0.01):
            waiting = [
                (line, before)
                for line, before in waiting
                # What is being written down is waited for, too.
                if line.loading.locked() or (line.standing.confirmed_at == before and not line.standing.failures)
            ]

    def stop(self) -> None:
        """Ask for nothing more; a question under way is left to itself."""
        self._stopped.set()

    def refresh(self, issuer: str) -> None:
        """Ask for an issuer's keys now; raises :class:`KeyError`. What comes of it is in :meth:`rows`. Blocks."""
        line = self._lines[issuer]
        if line.secret is None:
            with line.loading:
                self._ask(line)

    def _follow(self, line: _Line) -> None:
        while not self._stopped.is_set():
            with line.loading:
                if self._clock() >= line.standing.due_at:
                    self._ask(line)
            self._refuse_what_is_too_old()
            now, standing = self._clock(), line.standing
            moments = [standing.due_at, standing.believed_until(line.section.kept)]
            self._stopped.wait(min((moment - now for moment in moments if moment > now), default=0.1))

    def _ask(self, line: _Line) -> None:
        """Load the keys of an issuer; ``line.loading`` is held."""
        issuer, before = line.section.issuer, line.standing
        line.standing = asked(before, self._clock())
        try:
            loaded = self._load(line.section, before.validator if before.keys is not None else None)
        except HoopjumpError as error:
            self._fail(line, f"{error.message} ({error.hint})" if error.hint else error.message)
        except Exception as error:
            log.exception("the keys of %s could not be loaded", issuer)
            self._fail(line, type(error).__name__)
        else:
            with self._lock:
                line.standing = confirmed(
                    line.standing, self._clock(), loaded.keys, loaded.validator, loaded.seconds, body=loaded.body
                )
                self._settle()
            self._write_down(line)
            if before.keys is None or before.failures:
                log.info("%d keys of %s are there", len(line.standing.keys.keys if line.standing.keys else ()), issuer)
            elif loaded.keys is not None and _same(loaded.keys) != _same(before.keys):
                level = logging.INFO if loaded.keys.keys else logging.WARNING
                log.log(level, "the keys of %s have changed: there are %d", issuer, len(loaded.keys.keys))

    def _fail(self, line: _Line, fault: str) -> None:
        before = line.standing
        with self._lock:
            line.standing = failed(before, self._clock(), fault)
        if before.down_since is None:
            self._write_down(line)
        left = line.standing.believed_until(line.section.kept) - self._clock()
        what = f"the old ones count for {left:.0f} s" if left > 0 else "its tokens are refused"
        log.warning("the keys of %s cannot be had, %s: %s", line.section.issuer, what, fault)

    def _write_down(self, line: _Line) -> None:
        if self._kept is not None:
            self._kept.keep(line.section, line.standing, self._clock())

    def _believed(self, line: _Line) -> bool:
        return line.secret is not None or self._clock() < line.standing.believed_until(line.section.kept)

    def _refuse_what_is_too_old(self) -> None:
        for line in self._lines.values():
            if line.standing.keys is not None and not line.refusing and not self._believed(line):
                with self._lock:
                    if line.refusing:
                        continue
                    self._settle()
                log.error(
                    "the keys of %s are too old (%s): its tokens are refused (%s)",
                    line.section.issuer,
                    line.standing.fault or "not refreshed",
                    Reason.TOKEN_KEYS_UNAVAILABLE.code,
                )

    def _settle(self) -> None:
        """Have what is trusted follow from standings and dropped keys, and forget tokens of other keys."""
        self._dropped = self._drops.current()
        trusted: dict[str, TrustedIssuer] = {}
        for issuer, line in self._lines.items():
            line.refusing = not self._believed(line)
            if line.secret is not None:
                trusted[issuer] = TrustedIssuer(line.section.policy(), line.secret)
                continue
            keys = _EMPTY
            if line.standing.keys is not None and not line.refusing:
                keys = without(line.standing.keys, issuer, self._dropped)
            before = self._trusted.get(issuer)
            if before is None or not isinstance(before.keys, KeySet) or _same(before.keys) != _same(keys):
                self._memory.forget(issuer)
            trusted[issuer] = TrustedIssuer(line.section.policy(), keys)
        self._trusted = trusted

    # -- Administration ----------------------------------------------------------------------------------------------

    def drop(self, kid: str) -> list[str]:
        """Have a key, by its name or thumbprint, verify nothing more; the issuers that have it.

        Raises :class:`HoopjumpError` where no more can be dropped, or where it lasts for this process only.
        """
        found = called(kid, {issuer: line.standing.keys for issuer, line in self._lines.items()})
        with self._changing():
            self._drops.add(found)
        return sorted({one.issuer for one in found})

    def restore(self, kid: str) -> list[str]:
        """Take a drop back; the issuers whose it was. Raises as :meth:`drop` does."""
        with self._changing():
            found = self._drops.take_back(kid)
        return sorted({one.issuer for one in found})

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except OSError as error:
                hint = f"mend that, and say it again: {error.filename}"
                raise HoopjumpError(f"it counts until the next restart only: {error.strerror}", hint) from error
            finally:
                self._settle()

    def rows(self) -> list[dict[str, Any]]:
        """What is known of each issuer (:func:`hoopjump.keys.rows.row`)."""
        self.trusted()
        now = self._clock()
        return [row(line.section, line.standing, self._dropped, now) for line in self._lines.values()]


def _same(keys: KeySet) -> Counter[tuple[object, ...]]:
    """What is equal for sets by which every token is judged alike; some providers have no order in theirs."""
    return Counter((key.kid, key.thumbprint, key.algorithms, key.flaw) for key in keys.keys)
