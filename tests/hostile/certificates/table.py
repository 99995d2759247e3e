"""The table: name of an attack, the certificate, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.hostile.certificates import authority, body, decided, keys, outside
from tests.hostile.certificates.forge import blob_of


@dataclass(frozen=True, slots=True)
class Hostile:
    """A certificate that must not let anybody in, and why; ``part`` is at fault in one that cannot be read."""

    blob: bytes
    code: str
    part: str = ""


HOSTILE = {
    f"{kind}-{name}": Hostile(blob_of(row), "cert-malformed", part)
    for kind, table in (
        ("outside", outside.TABLE),
        ("key", keys.TABLE),
        ("body", body.TABLE),
        ("authority", authority.TABLE),
    )
    for name, (row, part) in table.items()
} | {f"decided-{name}": Hostile(blob_of(row), code) for name, (row, code) in decided.TABLE.items()}
