"""SSH's data types (RFC 4251 section 5), as far as certificates and the agent protocol need them."""

from __future__ import annotations

import base64
import hashlib
import struct

from hoopjump.errors import HoopjumpError


class EncodingError(HoopjumpError):
    """Bytes that end too early, or go on too long."""


def string(value: bytes | str) -> bytes:
    """A length-prefixed string; text is UTF-8, with undecodable bytes given back as they were."""
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data


def mpint(value: int) -> bytes:
    """A non-negative integer, two's complement, shortest form."""
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big") if value else b"")


class Reader:
    """Reads data types one after another; every read raises :class:`EncodingError` when the bytes do not suffice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def rest(self) -> bytes:
        """What has not been read yet."""
        return self._data[self._at :]

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if count > len(self._data) - self._at:
            raise EncodingError("the data end too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def boolean(self) -> bool:
        """RFC 4251: every value but zero is true."""
        return self.byte() != 0

    def uint32(self) -> int:
        """A 32-bit number."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """A length-prefixed string."""
        return self.take(self.uint32())

    def end(self) -> None:
        """Raises :class:`EncodingError` when something is left."""
        if self._at != len(self._data):
            raise EncodingError("data follow the end")


def blob_of_line(line: str) -> bytes:
    """The blob of a public key or certificate line (``TYPE BASE64 [COMMENT]``); raises :class:`EncodingError`."""
    words = line.split(None, 2)
    if len(words) < 2:
        raise EncodingError("not a line of the form TYPE BASE64 [COMMENT]")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError as error:
        raise EncodingError("the key is not base64") from error
    if Reader(blob).string() != words[0].encode():
        raise EncodingError("the line names another type than its key")
    return blob


def line_of_blob(blob: bytes, comment: str = "") -> str:
    """The public key or certificate line of a blob, without a newline."""
    kind = Reader(blob).string().decode("ascii", "backslashreplace")
    return f"{kind} {base64.b64encode(blob).decode()} {comment}".rstrip(" ")


def fingerprint(blob: bytes) -> str:
    """``SHA256:…`` as ``ssh-keygen -l`` prints it for a plain key's blob."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
