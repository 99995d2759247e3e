"""Keys that an administrator has dropped: they stop verifying at once, and no refresh brings them back.

They stand in one JSON file of the service's directory, until they are taken back: neither a restart nor the key's
absence from its set is a reason to take it again. The file is looked at for every token and read anew when it has
changed, so that hoopjump-ca, which nobody can tell anything, heeds it too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from hoopjump.decision.jwk import Key, KeySet
from hoopjump.decision.reasons import Reason
from hoopjump.errors import HoopjumpError
from hoopjump.keys.files import Version, read_state, version, write_state

FILE_LIMIT: Final = 64 * 1024  # some hundreds of keys; a list of them must fit into an answer of the daemon
DROPPED_KEYS: Final = "dropped-keys.json"
_REPAIR: Final = "remove it, and drop the keys again with `hoopjump keys drop`"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A key by its issuer, its name and its thumbprint, so that it comes back under no other name."""

    issuer: str
    kid: str | None
    thumbprint: str

    def covers(self, issuer: str, key: Key) -> bool:
        """Whether a key of an issuer is this one."""
        same = (self.kid is not None and key.kid == self.kid) or (
            bool(self.thumbprint) and key.thumbprint == self.thumbprint
        )
        return issuer == self.issuer and same

    def is_called(self, name: str) -> bool:
        """Whether an administrator means this one by a name or thumbprint."""
        return name in (self.kid, self.thumbprint)


def without(keys: KeySet, issuer: str, dropped: frozenset[Dropped] | None) -> KeySet:
    """The set in which dropped keys have a flaw: they stay, so that a token of theirs is refused for what it is.

    Where nobody knows which are dropped (None), each of them may be.
    """
    if dropped is not None and not any(one.issuer == issuer for one in dropped):
        return keys
    why = "an administrator did" if dropped is not None else "nobody knows which keys were"

    def judged(key: Key) -> Key:
        if dropped is not None and not any(one.covers(issuer, key) for one in dropped):
            return key
        return replace(key, primitive=None, algorithms=frozenset(), flaw=Reason.TOKEN_KEY_DROPPED, why=why)

    return KeySet.of(*map(judged, keys.keys))


def called(name: str, sets: Mapping[str, KeySet | None]) -> frozenset[Dropped]:
    """The keys of this name or thumbprint in the sets of issuers."""
    found = (
        Dropped(issuer, key.kid, key.thumbprint) for issuer, keys in sets.items() for key in (keys.keys if keys else ())
    )
    return frozenset(one for one in found if one.is_called(name))


class DroppedKeys:
    """What is dropped, in the file of a directory; None keeps it in memory. Safe to share between threads.

    Raises :class:`HoopjumpError` for a file that cannot be read, lest a key come back.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._path = None if directory is None else directory / DROPPED_KEYS
        # Both in one value, for it is put in place by whichever thread notices the change.
        self._known: tuple[Version | None, frozenset[Dropped] | None] = (None, frozenset())
        if self._path is not None:
            self._known = _read(self._path)

    def current(self) -> frozenset[Dropped] | None:
        """What is dropped now: the same object until that changes, None while the file cannot be read."""
        before, known = self._known
        if self._path is None:
            return known
        try:
            now = _version(self._path)
            if known is not None and now == before:
                return known
            if known and now is None:
                # What takes a file away is no administrator who takes a drop back.
                log.error("%s is gone; its %d keys stay dropped until it is there again", self._path, len(known))
                self._known = (None, known)
                return known
            self._known = _read(self._path)
        except HoopjumpError as error:
            if known is not None:
                log.error("all tokens are refused, for nobody knows which keys were dropped: %s", error)  # noqa: TRY400
            self._known = (None, None)
        else:
            log.warning("%d keys are dropped by %s", len(self._known[1] or ()), self._path)
        return self._known[1]

    def add(self, more: frozenset[Dropped]) -> None:
        """Drop keys, from now on, whether or not it can be written down (:class:`OSError`).

        Raises :class:`HoopjumpError` when the list is full, or the file cannot be read.
        """
        if more:
            self._set(self._readable() | more)

    def take_back(self, name: str) -> frozenset[Dropped]:
        """Have keys of this name or thumbprint count again; those they were. Raises as :meth:`add` does."""
        known = self._readable()
        found = frozenset(one for one in known if one.is_called(name))
        if found:
            self._set(known - found)
        return found

    def _readable(self) -> frozenset[Dropped]:
        known = self.current()
        if known is None:
            raise HoopjumpError(f"{self._path}: cannot be read, so nobody knows which keys were dropped", _REPAIR)
        return known

    def _set(self, wanted: frozenset[Dropped]) -> None:
        self._known = (self._known[0], wanted)
        if self._path is None:
            return
        data = _encoded(wanted)
        if len(data) > FILE_LIMIT:
            hint = "`hoopjump keys drop --undo` takes back those that have left their sets"
            raise HoopjumpError("the list of dropped keys is full: it counts until the next restart only", hint)
        self._known = (write_state(self._path, data), wanted)


def _encoded(dropped: frozenset[Dropped]) -> bytes:
    rows = [asdict(one) for one in sorted(dropped, key=lambda one: (one.issuer, one.kid or "", one.thumbprint))]
    return json.dumps(rows, ensure_ascii=False).encode()


def _version(path: Path) -> Version | None:
    try:
        return version(path.stat())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: Path) -> tuple[Version | None, frozenset[Dropped]]:
    try:
        data, found = read_state(path, FILE_LIMIT)
    except FileNotFoundError:
        return None, frozenset()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        return found, frozenset(
            Dropped(str(row["issuer"]), row["kid"], str(row["thumbprint"])) for row in json.loads(data)
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HoopjumpError(f"{path}: not a list of dropped keys", _REPAIR) from error


def _unreadable(path: Path, error: OSError) -> HoopjumpError:
    return HoopjumpError(f"{path}: {error.strerror}", "it names the dropped keys, for root and its owner to read")
