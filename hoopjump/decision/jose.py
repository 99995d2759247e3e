"""The outer form of a token (RFC 7515, JWS compact serialization), read strictly: base64url, JSON, header.

JSON has no leeway here: UTF-8 without a byte order mark, one value, no NaN or Infinity, no repeated names (RFC 7515
section 4 and RFC 7519 section 4 leave a choice; this is the safe one), no lone surrogates, bounded nesting.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import msgspec
from pybase64 import b64decode, urlsafe_b64encode

from hoopjump.decision.reasons import Reason

DEPTH_LIMIT: Final = 16

# By what is left over of a segment's length: the last characters that it may have, among which is no `=`, and what pads
# it. The bits that no byte fills must be zero (RFC 4648 section 3.5); one character alone is no byte.
_ENDINGS: Final[tuple[tuple[frozenset[int], bytes], ...]] = (
    (frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), b""),
    (frozenset(), b""),
    (frozenset(b"AQgw"), b"=="),
    (frozenset(b"AEIMQUYcgkosw048"), b"="),
)

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_SPACE: Final = " \t\r\n"
_PLUS, _SLASH = b"+/"


class TokenError(Exception):
    """A token is refused. ``detail`` is for logs: bounded, printable, and never a part of the signature."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.code}: {detail}" if detail else reason.code)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Header:
    """What is used of a JOSE header. ``typ`` is lower case and without ``application/``; "jwt" when there is none."""

    algorithm: str
    kid: str | None
    typ: str


def decode_segment(segment: bytes) -> bytes:
    """The bytes that base64url without padding stands for, in the one way that is canonical; raises TokenError."""
    last, padding = _ENDINGS[len(segment) & 3]
    try:
        # Beside base64url the library takes the alphabet of plain base64.
        if segment[-1] in last and _PLUS not in segment and _SLASH not in segment:
            return b64decode(segment + padding, b"-_", True)
    except IndexError:
        return b""
    except ValueError:
        pass
    if len(segment) & 3 != 1 and re.fullmatch(rb"[A-Za-z0-9_-]*", segment):
        raise TokenError(Reason.TOKEN_NOT_CANONICAL, "the last character of a segment has bits to spare")
    raise TokenError(Reason.TOKEN_MALFORMED, "a segment is not base64url without padding")


def encode_segment(data: bytes) -> bytes:
    """Base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        # It could not be said on in JSON.
        raise TokenError(Reason.TOKEN_NOT_JSON, "a number in it is beyond all that have a value")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise TokenError(Reason.TOKEN_DUPLICATE_NAME, "a JSON object has two members of one name")
    return members


_careful: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_distinct)


def parse_object(data: bytes) -> dict[str, Any]:
    """The members of a JSON object; raises :class:`TokenError`."""
    _check_depth(data)
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


# As deep as claims usually are: `resource_access` of Keycloak's has objects of objects of lists.
_Scalar = None | bool | int | float | str
_Plain = _Scalar | list[_Scalar]
_parse_plain: Final = msgspec.json.Decoder(dict[str, _Plain | dict[str, _Plain | dict[str, _Plain]]]).decode
_write: Final = msgspec.json.Encoder().encode


def parse_segment(segment: bytes) -> dict[str, Any]:
    """The members of the JSON object that a segment stands for; raises :class:`TokenError`.

    What a writer of JSON makes of the members is JSON, with every name once, and means the members; so where that is
    the very same bytes, there is nothing left to judge. The type bounds the nesting. All else goes the careful way.
    """
    # The beginning is decode_segment's: a call costs every token more than it tells a reader.
    last, padding = _ENDINGS[len(segment) & 3]
    try:
        if segment[-1] in last and _PLUS not in segment and _SLASH not in segment:
            data = b64decode(segment + padding, b"-_", True)
            members = _parse_plain(data)
            if _write(members) == data:
                return members
    except (IndexError, ValueError):
        pass
    return parse_object(decode_segment(segment))


def _check_depth(data: bytes) -> None:
    depth = 0
    for byte in _STRING.sub(b"", data):
        if byte in b"[{":
            depth += 1
            if depth > DEPTH_LIMIT:
                raise TokenError(Reason.TOKEN_TOO_DEEP, f"JSON nested deeper than {DEPTH_LIMIT}")
        elif byte in b"]}":
            depth -= 1


def parse_header(segment: bytes) -> Header:
    """The header that a segment stands for; raises :class:`TokenError`.

    ``jku``, ``jwk``, ``x5u`` and ``x5c`` are not looked at: where keys come from is configured (RFC 8725 section 3.10).
    """
    members = parse_segment(segment)
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
