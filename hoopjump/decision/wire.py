"""Reading SSH's wire encoding (RFC 4251 section 5) strictly, and the base64 that wraps it in text.

Every length is checked against what is there, numbers must be in their shortest form, text must be UTF-8 without NUL,
and a structure must end where its fields do.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}\Z")


class FormatError(ValueError):
    """Bytes are not what their format says; ``field`` names the part, in words."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Reader:
    """Takes fields off the front of a byte string; every method names the field it reads, for the error."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def position(self) -> int:
        """How many bytes have been read."""
        return self._position

    def since(self, position: int) -> bytes:
        """What has been read since then."""
        return self._data[position : self._position]

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self._position == len(self._data)

    def _take(self, count: int, field: str) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise FormatError(field, "is cut off")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def byte(self, field: str) -> int:
        """One octet."""
        return self._take(1, field)[0]

    def uint32(self, field: str) -> int:
        """Four octets, big-endian."""
        return int.from_bytes(self._take(4, field), "big")

    def uint64(self, field: str) -> int:
        """Eight octets, big-endian."""
        return int.from_bytes(self._take(8, field), "big")

    def string(self, field: str) -> bytes:
        """A length and as many octets."""
        return self._take(self.uint32(field), field)

    def text(self, field: str) -> str:
        """A string for people or programs.

        sshbuf_get_cstring takes one NUL at the end; we take none, so that the text and its C string are the same.
        """
        raw = self.string(field)
        if b"\0" in raw:
            raise FormatError(field, "contains a NUL byte")
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(field, "is not UTF-8 text") from error

    def mpint(self, field: str, longest: int) -> int:
        """A number of at most ``longest`` octets; negative ones and needless leading zeros are refused.

        sshbuf_get_bignum2_bytes_direct refuses negative and overlong numbers and trims zeros; RFC 4251 forbids them.
        """
        raw = self.string(field)
        if raw[:1] >= b"\x80":
            raise FormatError(field, "is negative")
        if raw[:1] == b"\0" and raw[1:2] < b"\x80":
            raise FormatError(field, "has needless leading zeros")
        if len(raw.removeprefix(b"\0")) > longest:
            raise FormatError(field, "is too large")
        return int.from_bytes(raw, "big")

    def end(self, field: str) -> None:
        """Nothing may follow."""
        if not self.at_end:
            raise FormatError(field, f"is followed by {len(self._data) - self._position} unexpected bytes")


def encode_string(value: bytes) -> bytes:
    """A length and the octets."""
    return len(value).to_bytes(4, "big") + value


def decode_base64(text: bytes, field: str) -> bytes:
    """Strict base64 (RFC 4648): the alphabet only, padded, and no spare bits set in the last character."""
    if not _BASE64.match(text) or len(text) % 4:
        raise FormatError(field, "is not base64")
    data = binascii.a2b_base64(text)
    if binascii.b2a_base64(data, newline=False) != text:
        raise FormatError(field, "has spare bits set at the end of its base64")
    return data


def read_key_line(text: bytes, longest: int, field: str) -> tuple[str | None, bytes]:
    """The type (None when the text is bare base64) and the blob of a one-line public key or certificate.

    ``text`` is ``type base64 [comment]`` or ``base64``; blank lines and lines that begin with ``#`` are passed over,
    as sshkey_load_public does. Longer than ``longest`` bytes, or a second key, is a :class:`FormatError`.
    """
    if len(text) > longest:
        raise FormatError(field, f"is longer than {longest} bytes")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    if len(lines) != 1:
        raise FormatError(field, "is empty" if not lines else "has more than one line")
    words = lines[0].split(maxsplit=2)
    if len(words) == 1:
        return None, decode_base64(words[0], field)
    return words[0].decode("ascii", "replace"), decode_base64(words[1], field)
