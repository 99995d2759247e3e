"""The wire between hook and daemon: frames of netstrings, as docs/architecture.md ("The wire") lays down.

A frame is a 4-byte big-endian length (1 to 262,144) and a body; a body is a row of netstrings, key, value, key,
value, the first key being ``v``. Whatever is not exactly that raises :class:`WireError`: a peer that cannot count
is not asked what it meant.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

VERSION: Final = 1
FRAME_LIMIT: Final = 262_144
PAIR_LIMIT: Final = 4096

_HEADER: Final = struct.Struct(">I")
_KEY: Final = re.compile(rb"[a-z0-9-]{1,64}\Z")
_LENGTH: Final = re.compile(rb"(0|[1-9][0-9]{0,5}):")
_VERSION: Final = re.compile(r"(?:0|[1-9][0-9]{0,3})\Z")

Pair = tuple[str, bytes | str]


class WireError(Exception):
    """Bytes that are no message; the text is for the log and never for the peer."""


@dataclass(frozen=True, slots=True)
class Message:
    """A decoded message: its protocol version, and its pairs in order, without ``v``."""

    version: int
    pairs: tuple[tuple[str, bytes], ...]

    def one(self, key: str) -> bytes | None:
        """The value of a key, None when absent; raises :class:`WireError` when it is there twice."""
        values = self.many(key)
        if len(values) > 1:
            raise WireError(f"{key} is given more than once")
        return values[0] if values else None

    def text(self, key: str) -> str | None:
        """The value of a key as strict UTF-8, None when absent; raises :class:`WireError`."""
        value = self.one(key)
        if value is None:
            return None
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise WireError(f"{key} is not UTF-8") from None

    def many(self, key: str) -> list[bytes]:
        """Every value of a key, in the order of the message."""
        return [value for name, value in self.pairs if name == key]


def encode(pairs: Iterable[Pair]) -> bytes:
    """The whole frame of a message; the version is put in front. Raises :class:`WireError` when it cannot be sent."""
    body = bytearray()
    _put(body, b"v")
    _put(body, str(VERSION).encode())
    for key, value in pairs:
        name = key.encode()
        if not _KEY.match(name) or name == b"v":
            raise WireError(f"{key!r} is not a key")
        _put(body, name)
        _put(body, value.encode() if isinstance(value, str) else value)
    if len(body) > FRAME_LIMIT:
        raise WireError(f"a message of {len(body)} bytes is too long")
    return _HEADER.pack(len(body)) + bytes(body)


def decode(body: bytes) -> Message:
    """Read the body of a frame; raises :class:`WireError`.

    A version one apart from ours is read: what it adds are keys, and unknown keys are passed over.
    """
    pairs: list[tuple[str, bytes]] = []
    offset = 0
    while offset < len(body):
        key, offset = _take(body, offset)
        value, offset = _take(body, offset)
        if not _KEY.match(key):
            raise WireError("a key has characters that no key has")
        pairs.append((key.decode(), value))
        if len(pairs) > PAIR_LIMIT:
            raise WireError("too many keys")
    if not pairs or pairs[0][0] != "v":
        raise WireError("the version is missing")
    version = pairs[0][1].decode("ascii", "replace")
    if not _VERSION.match(version) or abs(int(version) - VERSION) > 1:
        raise WireError("the protocol version is too far from ours")
    if any(key == "v" for key, _ in pairs[1:]):
        raise WireError("the version is given more than once")
    return Message(int(version), tuple(pairs[1:]))


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """The next message, or None when the peer has closed between two; raises :class:`WireError`.

    How long to wait is the caller's choice (:func:`asyncio.timeout`).
    """
    try:
        header = await reader.readexactly(_HEADER.size)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise WireError("the connection ended inside a frame") from None
    (length,) = _HEADER.unpack(header)
    if not 1 <= length <= FRAME_LIMIT:
        raise WireError("a frame has an impossible length")
    try:
        return decode(await reader.readexactly(length))
    except asyncio.IncompleteReadError:
        raise WireError("the connection ended inside a frame") from None


def _put(body: bytearray, value: bytes) -> None:
    body += b"%d:%b," % (len(value), value)


def _take(body: bytes, offset: int) -> tuple[bytes, int]:
    length = _LENGTH.match(body, offset)
    if length is None:
        raise WireError("a length was expected")
    start = length.end()
    end = start + int(length[1])
    if end >= len(body):
        raise WireError("a value is cut short")
    if body[end] != 0x2C:
        raise WireError("a value does not end where it should")
    return body[start:end], end + 1
