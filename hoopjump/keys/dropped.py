"""Keys that an administrator has dropped: they stop verifying at once, and no refresh brings them back.

They stand in one JSON file of the state directory, which lasts as long as that does (/run: until the machine starts
anew), so that a restarted daemon goes on refusing them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from hoopjump.decision.jwk import Key, KeySet
from hoopjump.decision.reasons import Reason
from hoopjump.errors import HoopjumpError

FILE_LIMIT: Final = 1024 * 1024
DROPPED_KEYS: Final = "dropped-keys.json"  # in daemon.state_dir


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


def without(keys: KeySet, issuer: str, dropped: frozenset[Dropped]) -> KeySet:
    """The set in which dropped keys have a flaw: they stay, so that a token of theirs is refused for what it is."""
    if not any(one.issuer == issuer for one in dropped):
        return keys
    return KeySet.of(
        *(
            replace(
                key, primitive=None, algorithms=frozenset(), flaw=Reason.TOKEN_KEY_DROPPED, why="an administrator did"
            )
            if any(one.covers(issuer, key) for one in dropped)
            else key
            for key in keys.keys
        )
    )


def read_dropped(path: Path) -> frozenset[Dropped]:
    """What was dropped; raises :class:`HoopjumpError` for a file that cannot be read, lest a key come back."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise HoopjumpError(f"{path}: {error.strerror}", "it holds the keys that were dropped") from error
    try:
        # What is too large is cut off here, and so is not JSON.
        return frozenset(Dropped(str(row["issuer"]), row["kid"], str(row["thumbprint"])) for row in json.loads(data))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        hint = "remove it, and drop the keys again with `hoopjump keys drop`"
        raise HoopjumpError(f"{path}: not a list of dropped keys", hint) from error


def write_dropped(path: Path, dropped: frozenset[Dropped]) -> None:
    """Keep what was dropped (mode 0600); raises :class:`OSError`."""
    fresh = path.with_suffix(".new")
    rows = [asdict(one) for one in sorted(dropped, key=lambda one: (one.issuer, one.kid or "", one.thumbprint))]
    with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600)) as file:
        file.write(json.dumps(rows).encode())
    fresh.replace(path)
