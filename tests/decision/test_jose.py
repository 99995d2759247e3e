"""Segments of tokens: what base64url they take, with the standard library as the second opinion."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hoopjump.decision.jose import TokenError, decode_segment, encode_segment, parse_object, parse_segment
from hoopjump.decision.reasons import Reason

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# Characters of the alphabet, with some of no right to be there.
SEGMENTS = st.lists(
    st.sampled_from([bytes([byte]) for byte in ALPHABET * 8 + b"+/= \t\r\n\0.!\x80\xff"]), max_size=90
).map(b"".join)


def _plain(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@given(SEGMENTS)
@example(b"")
@example(b"QQ==")
@example(b"QUJD=")
def test_a_segment_is_taken_when_it_is_the_one_way_to_write_its_bytes(segment: bytes) -> None:
    try:
        decoded = decode_segment(segment)
    except TokenError:
        try:
            lenient = base64.urlsafe_b64decode(segment + b"==")
        except binascii.Error:
            return
        assert _plain(lenient) != segment
    else:
        assert _plain(decoded) == segment


@given(st.binary(max_size=200))
def test_what_is_encoded_is_decoded(data: bytes) -> None:
    assert encode_segment(data) == _plain(data)
    assert decode_segment(encode_segment(data)) == data


@pytest.mark.parametrize("where", [0, 21, 40, 63])
def test_no_other_character_is_taken_wherever_it_stands(where: int) -> None:
    for foreign in set(range(256)) - set(ALPHABET):
        segment = b"A" * where + bytes([foreign]) + b"A" * (63 - where)
        with pytest.raises(TokenError) as refused:
            decode_segment(segment)
        assert refused.value.reason is Reason.TOKEN_MALFORMED, foreign


@pytest.mark.parametrize("segment", [b"QR", b"QUF", b"A" * 64 + b"QR"])
def test_bits_to_spare_are_told_from_what_is_no_base64url(segment: bytes) -> None:
    with pytest.raises(TokenError) as refused:
        decode_segment(segment)
    assert refused.value.reason is Reason.TOKEN_NOT_CANONICAL


# Objects as issuers write them, whose base64 has every character of either alphabet; and their ends bent.
OBJECTS = st.builds(
    lambda text, swap, end: base64.b64encode(f'{{"a":"{text}"}}'.encode(), swap).rstrip(b"=") + end,
    st.text(st.sampled_from('>?~aü"\\ \n'), max_size=24),
    st.sampled_from([b"-_", b"-_", b"+/", b"-/", b"+_"]),
    st.sampled_from([b"", b"", b"", b"=", b"==", b"A", b"-", b"\n", b"."]),
)


@settings(max_examples=1000)
@given(OBJECTS | SEGMENTS)
@example(b"eyJhIjoiPj4+Pz8/In0")
@example(b"eyJhIjoiPj4-Pz8_In0")
@example(b"eyJhIjoxfR")
def test_an_object_is_read_in_one_go_as_it_is_step_by_step(segment: bytes) -> None:
    def read(step: Callable[[bytes], dict[str, object]]) -> object:
        try:
            return step(segment)
        except TokenError as refused:
            return refused.reason, refused.detail

    assert read(parse_segment) == read(lambda segment: parse_object(decode_segment(segment)))
