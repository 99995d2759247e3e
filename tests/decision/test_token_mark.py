"""What is kept of a token that has let somebody in: names, and never more than so much."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import pytest

from hoopjump.decision.jwk import Key, parse_key
from hoopjump.decision.token import SHARED, VerifiedToken, verify
from hoopjump.decision.token_mark import TokenMark, short
from tests.hostile.tokens.forge import ISSUER, ISSUERS, NOW, SECRET, SHARING, claims, jwk, token

NAMES = ["jti-1", "x" * 128, "x" * 129, "\u00fc" * 10, "a\nb", "\x1b[2J", "\ud800", "1" * 16_000, " ", " a", "#a"]


def mark(**more: Any) -> TokenMark:
    """That of a token with these claims."""
    told = {"iss": "https://ca.example.com", "sub": "alice", "exp": NOW, **more}
    signer = Key("ca-1", "Ed25519", "thumbprint", None, frozenset({"EdDSA"}))
    return VerifiedToken("alice", (), 0, NOW, signer, told).mark


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_bounded_and_can_be_printed(name: str) -> None:
    """Usual names are kept as they are, the others as their hash; no two are kept alike."""
    kept = short(name)
    assert len(kept) <= 128
    assert kept.isascii()
    assert kept.isprintable()
    assert (kept == name) is (name in NAMES[:2])
    assert (kept, kept[0]) == (kept.strip(), kept.lstrip("#")[0])
    assert short(kept) == kept
    assert len({short(one) for one in NAMES}) == len(NAMES)


def test_a_mark_names_the_token_its_key_and_the_token_it_was_issued_for() -> None:
    """And nothing else of it."""
    original = {"iss": "https://idp.example.com", "sub": "alice", "jti": "first", "exp": 1}
    assert mark(jti="second", orig=original) == TokenMark(
        "https://ca.example.com", "second", "thumbprint", "ca-1", "https://idp.example.com", "first"
    )


@pytest.mark.parametrize("orig", [None, "first", ["first"], {"jti": ["first"], "iss": 7}, {"jti": "", "iss": None}, {}])
def test_an_original_without_names_is_none(orig: Any) -> None:
    """What is no text cannot be looked for in a list."""
    assert mark(orig=orig) == TokenMark("https://ca.example.com", None, "thumbprint", "ca-1")


def test_names_of_any_length_end_in_a_short_mark() -> None:
    """16 kB of a token could be one name."""
    found = mark(jti="j" * 9000, orig={"iss": "i" * 5000, "jti": "o" * 5000})
    assert all(len(value or "") <= 128 for value in astuple(found))


def test_a_key_is_told_by_its_thumbprint_and_its_name_in_the_set() -> None:
    """A shared secret has neither."""
    verified = verify(token(claims()), ISSUERS, NOW)
    key = next(key for key in (parse_key(jwk(kind)) for kind in ("ed", "rsa")) if key.thumbprint == verified.key)
    assert (verified.mark.issuer, verified.mark.key, verified.mark.kid) == (ISSUER, key.thumbprint, key.kid)
    shared = verify(token(claims(iss=SHARING), algorithm="HS256", secret=SECRET), ISSUERS, NOW)
    assert shared.key == SHARED
    assert (shared.mark.key, shared.mark.kid) == ("", None)
