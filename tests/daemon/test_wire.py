"""Frames of netstrings: what is exactly right is read, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoopjump.daemon.wire import FRAME_LIMIT, PAIR_LIMIT, Message, WireError, decode, encode, read_message

KEYS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12).filter(lambda key: key != "v")


def read(data: bytes) -> Message | None:
    async def story() -> Message | None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await read_message(reader)

    return asyncio.run(story())


@given(st.lists(st.tuples(KEYS, st.binary(max_size=200)), max_size=20))
def test_what_is_encoded_is_decoded(pairs: list[tuple[str, bytes]]) -> None:
    """Keys and values come back in order, whatever bytes the values are."""
    assert decode(encode(pairs)[4:]) == Message(1, tuple(pairs))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_wire_error(body: bytes) -> None:
    """No other exception comes out of the decoder."""
    try:
        decode(body)
    except WireError:
        return
    assert body.startswith(b"1:v,")


@given(st.data())
def test_changed_message_is_a_message_or_a_wire_error(data: st.DataObject) -> None:
    """The same for messages with a byte changed, taken out or put in."""
    body = bytearray(encode([("verb", "session"), ("command", b"ls -l"), ("env", b"A=1"), ("env", b"B=2")])[4:])
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=2))
    with contextlib.suppress(WireError):
        decode(bytes(body))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"1:v,", id="key without value"),
        pytest.param(b"1:v,1:1", id="no comma at the end"),
        pytest.param(b"1:v,01:1,", id="leading zero"),
        pytest.param(b"1:v,+1:1,", id="sign"),
        pytest.param(b"1:v, 1:1,", id="space"),
        pytest.param(b"1:v,2:1,", id="length too long"),
        pytest.param(b"1:v,9999999:1,", id="length of seven digits"),
        pytest.param(b"1:v,1:1;", id="semicolon for comma"),
        pytest.param(b"1:v,1:3,", id="version two apart"),
        pytest.param(b"1:v,1:x,", id="version that is no number"),
        pytest.param("1:v,2:\u00b2,".encode(), id="version in superscript"),
        pytest.param(b"1:v,2:01,", id="version with a zero in front"),
        pytest.param(b"1:a,1:1,", id="no version first"),
        pytest.param(b"1:v,1:1,1:v,1:1,", id="version twice"),
        pytest.param(b"1:v,1:1,1:A,1:1,", id="capital in a key"),
        pytest.param(b"1:v,1:1,0:,1:1,", id="empty key"),
        pytest.param(b"1:v,1:1,2:a\n,1:1,", id="newline in a key"),
        pytest.param(b"1:v,1:1," + b"1:a,0:," * PAIR_LIMIT, id="too many pairs"),
    ],
)
def test_malformed_body_is_refused(body: bytes) -> None:
    """Every deviation from the grammar is a WireError."""
    with pytest.raises(WireError):
        decode(body)


def test_version_one_apart_is_read_and_unknown_keys_are_kept_aside() -> None:
    """A hook of the next version, with a key that we do not know, is understood."""
    message = decode(b"1:v,1:2,4:verb,4:ping,6:future,1:x,")
    assert (message.version, message.text("verb")) == (2, "ping")


def test_key_given_twice_is_a_list_and_no_single_value() -> None:
    """`many` gives both in order, `one` refuses to choose."""
    message = decode(encode([("a", "1"), ("b", "2"), ("a", "3")])[4:])
    assert message.many("a") == [b"1", b"3"]
    with pytest.raises(WireError, match="more than once"):
        message.one("a")


def test_text_must_be_utf_8() -> None:
    """Bytes that are no text are refused where text is wanted, and kept where bytes are."""
    message = decode(encode([("command", b"\xff")])[4:])
    assert message.one("command") == b"\xff"
    with pytest.raises(WireError, match="UTF-8"):
        message.text("command")


@pytest.mark.parametrize("length", [0, FRAME_LIMIT + 1, 2**32 - 1])
def test_impossible_frame_length_is_refused_before_the_body(length: int) -> None:
    """Nobody can make the daemon wait for, or hold, more than a frame's worth."""
    with pytest.raises(WireError, match="impossible length"):
        read(struct.pack(">I", length))


@pytest.mark.parametrize("cut", [1, 3, 4, 10])
def test_frame_that_ends_early_is_refused(cut: int) -> None:
    """A connection that ends inside a frame is no message; one that ends before it is no fault."""
    whole = encode([("verb", "ping")])
    assert read(b"") is None
    with pytest.raises(WireError, match="ended inside"):
        read(whole[:cut])


def test_message_that_no_frame_holds_is_not_sent() -> None:
    """The sender learns of it; a frame of exactly the limit goes through."""
    with pytest.raises(WireError, match="too long"):
        encode([("a", b"x" * FRAME_LIMIT)])
    room = FRAME_LIMIT - len(b"1:v,1:1,1:a,262126:,")
    assert read(encode([("a", b"x" * room)])) is not None


@pytest.mark.parametrize("key", ["", "v", "A", "a b", "a" * 65])
def test_key_that_is_none_is_not_sent(key: str) -> None:
    """Our own mistakes are caught before they are on the wire."""
    with pytest.raises(WireError):
        encode([(key, "x")])
