"""The outer form of a token (RFC 7515, JWS compact serialization), read strictly: base64url, JSON, header.

JSON has no leeway here: UTF-8 without a byte order mark, one value, no NaN or Infinity, no repeated names (RFC 7515
section 4 and RFC 7519 section 4 leave a choice; this is the safe one), no lone surrogates, bounded nesting.
"""

from __future__ import annotations

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from functools import lru_cache
from typing import Any, Final, NamedTuple, NoReturn

from hoopjump.decision.reasons import Reason

DEPTH_LIMIT: Final = 16

# What base64url (RFC 4648 section 5) shares with base64, its own two characters as base64's; anything else becomes a
# character that no decoder takes. The dot stays, so that a whole token can be translated at once.
ALPHABET: Final = bytes(
    ord({"-": "+", "_": "/"}.get(chr(byte), chr(byte))) if re.match(rb"[A-Za-z0-9_.-]", bytes([byte])) else ord("!")
    for byte in range(256)
)
# The bits of the last character that no byte fills must be zero (RFC 4648 section 3.5).
_PADDING: Final = {2: b"==", 3: b"="}
_LAST: Final = {2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_SPACE: Final = " \t\r\n"
_SPACE_BYTES: Final = _SPACE.encode()


class TokenError(Exception):
    """A token is refused. ``detail`` is for logs: bounded, printable, and never a part of the signature."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.code}: {detail}" if detail else reason.code)
        self.reason = reason
        self.detail = detail


class Header(NamedTuple):
    """What is used of a JOSE header. ``typ`` is lower case and without ``application/``; "jwt" when there is none.

    A tuple and not a dataclass because one is looked up for every token.
    """

    algorithm: str
    kid: str | None
    typ: str


def decode_segment(segment: bytes) -> bytes:
    """The bytes of a base64url segment that went through :data:`ALPHABET`; raises :class:`TokenError`."""
    tail = len(segment) & 3
    if tail:
        if tail == 1:
            raise TokenError(Reason.TOKEN_MALFORMED, "a segment has an impossible length")
        if segment[-1] not in _LAST[tail]:
            _refuse_last(segment)
        segment += _PADDING[tail]
    try:
        return a2b_base64(segment, strict_mode=True)
    except Base64Error:
        raise TokenError(Reason.TOKEN_MALFORMED, "a segment is not base64url without padding") from None


def _refuse_last(segment: bytes) -> NoReturn:
    if re.fullmatch(rb"[A-Za-z0-9+/]*", segment):
        raise TokenError(Reason.TOKEN_NOT_CANONICAL, "the last character of a segment has bits to spare")
    raise TokenError(Reason.TOKEN_MALFORMED, "a segment is not base64url without padding")


def decode_text(text: str) -> bytes:
    """Base64url as a member of a JSON object (a JWK's ``n``); raises :class:`TokenError`."""
    return decode_segment(text.encode("ascii", "replace").translate(ALPHABET).replace(b".", b"!"))


def encode_segment(data: bytes) -> bytes:
    """Base64url without padding."""
    return b2a_base64(data, newline=False).rstrip(b"=").translate(bytes.maketrans(b"+/", b"-_"))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise TokenError(Reason.TOKEN_DUPLICATE_NAME, "a JSON object has two members of one name")
    return members


_fast = json.JSONDecoder(parse_constant=_refuse_constant)
_careful = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_distinct)


def parse_object(data: bytes, depth: int = DEPTH_LIMIT) -> dict[str, Any]:
    """The members of a JSON object; raises :class:`TokenError`.

    The fast way is taken where it provably sees what the careful one would. Without white space before a colon each
    member brings one ``":``; so when there are no more of these than names at the top, there are no repeated names,
    and no members further down. Without backslashes there is no surrogate. Nesting is then of arrays alone.
    """
    if b"\\" in data or data.count(b"[") >= depth - 1:
        return _parse_carefully(data, depth)
    try:
        text = data.decode()
        members, end = _fast.raw_decode(text)
    except (ValueError, RecursionError):
        return _parse_carefully(data, depth)
    bare = data if len(data.split(None, 1)) == 1 else data.translate(None, _SPACE_BYTES)
    if end == len(text) and type(members) is dict and bare.count(b'":') == len(members):
        return members
    return _parse_carefully(data, depth)


def _parse_carefully(data: bytes, depth: int) -> dict[str, Any]:
    _check_depth(data, depth)
    try:
        text = data.decode().strip(_SPACE)
        value, end = _careful.raw_decode(text)
        if end != len(text):
            raise TokenError(Reason.TOKEN_NOT_JSON, "there is something behind the JSON value")
        if b"\\" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        # UnicodeDecodeError, UnicodeEncodeError (a lone surrogate) and JSONDecodeError are ValueErrors.
        raise TokenError(Reason.TOKEN_NOT_JSON, "not JSON as RFC 8259 and UTF-8 have it") from None
    if type(value) is not dict:
        raise TokenError(Reason.TOKEN_NOT_JSON, "not a JSON object")
    return value


def _check_depth(data: bytes, limit: int) -> None:
    depth = 0
    for byte in _STRING.sub(b"", data):
        if byte in b"[{":
            depth += 1
            if depth > limit:
                raise TokenError(Reason.TOKEN_TOO_DEEP, f"JSON nested deeper than {limit}")
        elif byte in b"]}":
            depth -= 1


@lru_cache(maxsize=256)
def parse_header(segment: bytes) -> Header:
    """The header in a segment that went through :data:`ALPHABET`; raises :class:`TokenError`.

    An issuer's headers are few and alike, so the last ones are kept. ``jku``, ``jwk``, ``x5u`` and ``x5c`` are not
    looked at: where keys come from is configured (RFC 8725 section 3.10).
    """
    members = parse_object(decode_segment(segment))
    algorithm, kid, typ = members.get("alg"), members.get("kid"), members.get("typ", "JWT")
    if type(algorithm) is not str:
        raise TokenError(Reason.TOKEN_HEADER_MALFORMED, "`alg` is missing or not text")
    if algorithm.lower() == "none":
        raise TokenError(Reason.TOKEN_ALGORITHM_NONE)
    # No extension is understood, and an empty list is forbidden (RFC 7515 section 4.1.11); `b64` of RFC 7797 changes
    # what is signed, whether or not `crit` names it.
    if "crit" in members or members.get("b64", True) is not True:
        raise TokenError(Reason.TOKEN_CRITICAL)
    if "kid" in members and type(kid) is not str:
        raise TokenError(Reason.TOKEN_HEADER_MALFORMED, "`kid` is not text")
    if type(typ) is not str:
        raise TokenError(Reason.TOKEN_HEADER_MALFORMED, "`typ` is not text")
    return Header(algorithm, kid, typ.lower().removeprefix("application/"))
