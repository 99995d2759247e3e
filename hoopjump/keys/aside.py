"""The keys of a service that nobody can ask: what its directory says, seen and changed from outside.

hoopjump-ca listens to its clients alone. It looks at its list of dropped keys for every token, so a change here counts
from the next one on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from hoopjump.atomic import alone
from hoopjump.config import TokenIssuerSection
from hoopjump.config.tokens import FILE
from hoopjump.errors import HoopjumpError
from hoopjump.keys.dropped import DroppedKeys, called
from hoopjump.keys.freshness import Standing, confirmed, failed
from hoopjump.keys.kept import KeptSets
from hoopjump.keys.keysets import steady
from hoopjump.keys.rows import row
from hoopjump.keys.sources import load_keys

LOCK: Final = ".dropped-keys.lock"


class KeysAside:
    """The keys of a service, by its issuers and its directory. All methods raise :class:`HoopjumpError`."""

    def __init__(self, sections: Iterable[TokenIssuerSection], directory: Path) -> None:
        self._directory = directory
        self._sections = list(sections)
        self._kept = KeptSets(directory)

    def rows(self) -> list[dict[str, Any]]:
        """What is known of each issuer (:func:`hoopjump.keys.rows.row`)."""
        dropped = DroppedKeys(self._directory).current()
        rows = (row(section, self._standing(section), dropped, steady()) for section in self._sections)
        # When the service asks its providers again is known to itself alone.
        return [{**one, "refresh_in": None} for one in rows]

    def drop(self, kid: str) -> list[str]:
        """Have a key, by its name or thumbprint, verify nothing more; the issuers that have it."""
        found = called(kid, {section.issuer: self._standing(section).keys for section in self._sections})
        with self._alone():
            DroppedKeys(self._directory).add(found)
        return sorted({one.issuer for one in found})

    def restore(self, kid: str) -> list[str]:
        """Take a drop back; the issuers whose it was."""
        with self._alone():
            found = DroppedKeys(self._directory).take_back(kid)
        return sorted({one.issuer for one in found})

    def _standing(self, section: TokenIssuerSection) -> Standing:
        now = steady()
        try:
            if not section.keys.startswith(FILE):
                return self._kept.read(section, now)
            loaded = load_keys(section, None)
        except HoopjumpError as error:
            return failed(Standing(), now, error.message)
        return confirmed(Standing(), now, loaded.keys, None, loaded.seconds)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two administrators who drop keys at once must not lose one of them."""
        try:
            with alone(self._directory / LOCK):
                yield
        except OSError as error:
            hint = "run this as root" if isinstance(error, PermissionError) else ""
            raise HoopjumpError(f"{self._directory}: {error.strerror}", hint) from error
