"""Requests that two programs might end at different places: nothing gets in inside of one, behind nginx or straight."""

from __future__ import annotations

import re
import ssl
from types import SimpleNamespace
from typing import Final

import pytest

from tests.ca.test_server import raw
from tests.ca.yard import Yard

HIDDEN: Final = b"POST /ssh/certificates HTTP/1.1\r\nHost: x\r\nX-Real-IP: 203.0.113.66\r\nContent-Length: 2\r\n\r\n{}"
POST: Final = b"POST /ssh/certificates HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
LENGTH: Final = b"Content-Length: %d\r\n" % len(HIDDEN)
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
END: Final = b"0\r\n\r\n"

REQUESTS: Final = {
    "in a body": POST + LENGTH + b"\r\n" + HIDDEN,
    "in a body, and before it": HIDDEN + POST + LENGTH + b"\r\n" + HIDDEN,
    "after a body": POST + b"Content-Length: 2\r\n\r\n{}" + HIDDEN,
    "after an empty body": POST + b"Content-Length: 0\r\n\r\n" + HIDDEN,
    "after chunks": POST + CHUNKED + b"\r\n2\r\n{}\r\n" + END + HIDDEN,
    "in a chunk's extension": POST + CHUNKED + b"\r\n2;" + HIDDEN.replace(b"\r\n", b" ") + b"\r\n{}\r\n" + END,
    "in a trailer": POST + CHUNKED + b"\r\n2\r\n{}\r\n0\r\nX-Real-IP: 203.0.113.66\r\n\r\n",
    "a chunk ended by a newline": POST + CHUNKED + b"\r\n2;\n" + HIDDEN + b"\r\n" + END,
    "a chunk of huge size": POST + CHUNKED + b"\r\nffffffffffffffff2\r\n{}\r\n" + END + HIDDEN,
    "length and chunks": POST + LENGTH + CHUNKED + b"\r\n" + END + HIDDEN,
    "chunks and length": POST + CHUNKED + LENGTH + b"\r\n" + END + HIDDEN,
    "two lengths": POST + b"Content-Length: 0\r\n" + LENGTH + b"\r\n" + HIDDEN,
    "the same length twice": POST + LENGTH + LENGTH + b"\r\n" + HIDDEN,
    "a list of lengths": POST + b"Content-Length: 0, 2\r\n\r\n{}" + HIDDEN,
    "a length with a sign": POST + b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "chunks twice": POST + CHUNKED + CHUNKED + b"\r\n" + END + HIDDEN,
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + END + HIDDEN,
    "two codings": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + END + HIDDEN,
    "a blank before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + END + HIDDEN,
    "a folded header": POST + b"X: a\r\n Content-Length: 0\r\n" + LENGTH + b"\r\n" + HIDDEN,
    "a bare newline": POST + b"X: a\nX-Real-IP: 203.0.113.66\r\nContent-Length: 2\r\n\r\n{}",
    "a bare return": POST + b"X: a\rX-Real-IP: 203.0.113.66\r\nContent-Length: 2\r\n\r\n{}",
    "a NUL": POST + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "hop by hop": POST.replace(b"close", b"X-Real-IP, close") + b"Content-Length: 2\r\n\r\n{}",
    "HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"Content-Length: 0\r\n\r\n" + HIDDEN,
    "HTTP/1.0 with chunks": POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + END + HIDDEN,
    "an upgrade": POST + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
}


def statuses(answer: bytes) -> list[int]:
    """Those of all answers in a stream."""
    return [int(status) for status in re.findall(rb"^HTTP/1\.\d (\d+) ", answer, re.MULTILINE)]


@pytest.mark.parametrize("name", REQUESTS)
def test_behind_nginx(front: SimpleNamespace, name: str) -> None:
    """As many answers as nginx saw requests, and no address but the client's."""
    before = len(front.yard.events())
    answer = front.nginx.say(REQUESTS[name], "127.0.0.4")
    # 400 or, for codings, 501.
    assert len(statuses(answer)) == (2 if name == "in a body, and before it" else 1), answer
    assert set(statuses(answer)) <= {400, 501}
    assert {event["source"] for event in front.yard.events()[before:]} <= {"127.0.0.4"}


@pytest.mark.parametrize("name", REQUESTS)
def test_straight(yard: Yard, name: str) -> None:
    """One answer, the connection's last, whatever else has been sent on it."""
    before = len(yard.events())
    answer = b""
    with raw(yard) as connection:
        connection.sendall(REQUESTS[name])
        try:
            while part := connection.recv(65536):
                answer += part
        except (ConnectionResetError, ssl.SSLEOFError):
            # What nobody reads any more is answered so by the kernel, after the answer.
            pass
    assert statuses(answer) == [400], answer
    assert len(yard.events()) - before <= 1
