"""The table: name of an attack, the token, and the code of the reason for which it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from tests.hostile.tokens import form, headers, keys, said, signatures


@dataclass(frozen=True, slots=True)
class Hostile:
    """A token that must be refused, and why."""

    token: bytes
    code: str


HOSTILE = {
    f"{kind}-{name}": Hostile(token, f"token-{code}")
    for kind, table in (
        ("form", form.TABLE),
        ("header", headers.TABLE),
        ("key", keys.TABLE),
        ("signature", signatures.TABLE),
        ("claim", said.TABLE),
    )
    for name, (token, code) in table.items()
}
