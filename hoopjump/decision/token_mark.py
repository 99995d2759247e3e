"""By what a token can be taken back after it has let somebody in: names, which are worth nothing to who reads them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

NAME_LIMIT: Final = 128


@dataclass(frozen=True, slots=True)
class TokenMark:
    """A verified token by its names, each as :func:`short` has it.

    ``token_id`` is its ``jti``; ``key`` the thumbprint of the key that signed it, ``kid`` that key's name in the set;
    ``original_issuer`` and ``original_id`` are those of the token for which it was issued (``orig``), if they are told.
    """

    issuer: str
    token_id: str | None = None
    key: str = ""
    kid: str | None = None
    original_issuer: str | None = None
    original_id: str | None = None


def short(name: str) -> str:
    """A name in at most 128 characters of printable ASCII: itself, as names usually are, or else its SHA-256.

    What is kept of a login is thereby bounded, whatever an issuer puts into its tokens, and can stand on a line of a
    list of revoked tokens: there, blanks around a name are not part of it, and ``#`` begins a comment.
    """
    plain = len(name) <= NAME_LIMIT and name.isascii() and name.isprintable()
    if plain and name == name.strip() and not name.startswith("#"):
        return name
    return f"sha256:{sha256(name.encode('utf-8', 'backslashreplace')).hexdigest()}"
