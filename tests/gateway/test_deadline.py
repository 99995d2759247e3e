"""A gateway, or whoever stands in its place, that answers without ever coming to an end."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from hoopjump.gateway.client import GatewayClient, GatewayError
from tests.gateway.replay import KEY, Replay, section
from tests.tls import Authority

HEADER = b"HTTP/1.1 200 OK\r\nX-Endless: "
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HANDSHAKE = b"\x16\x03\x03\x40\x00"  # the head of a TLS record (RFC 8446 section 5.1) whose bytes never all come


@contextmanager
def dripping(first: bytes, drop: bytes, context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[int]]]:
    """A server that says ``first`` and then ``drop`` after ``drop``; gives its port and the calls it got."""
    stop = threading.Event()
    calls: list[int] = []

    def drip(link: socket.socket) -> None:
        with suppress(OSError):
            talk = context.wrap_socket(link, server_side=True) if context else link
            with talk:
                talk.recv(4096)
                calls.append(1)
                talk.sendall(first)
                for _ in itertools.count():
                    if stop.wait(0.02):
                        return
                    talk.sendall(drop)

    def serve(listening: socket.socket) -> None:
        while not stop.is_set():
            try:
                link, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(link,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1], calls
        stop.set()
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("first", "drop", "server_tls", "client_tls"),
    [
        pytest.param(HEADER, b"a", False, False, id="headers"),
        pytest.param(b"", CONTINUE, False, False, id="100-continue"),
        pytest.param(HEADER, b"a", True, True, id="headers-in-tls"),
        pytest.param(HANDSHAKE, b"\0", False, True, id="tls-handshake"),
    ],
)
def test_an_answer_that_drips_is_slow_wherever_it_is(
    first: bytes, drop: bytes, server_tls: bool, client_tls: bool, tmp_path: Path
) -> None:
    """Each byte comes within the read timeout, and the call ends all the same, is not repeated and leaves no thread."""
    authority = Authority()
    pem = authority.write(tmp_path / "ca.pem")
    with dripping(first, drop, authority.issue(tmp_path) if server_tls else None) as (port, calls):
        url = f"http{'s' if client_tls else ''}://127.0.0.1:{port}"
        client = GatewayClient(section(url, connect_timeout=1.0, read_timeout=1.0, ca_file=pem), KEY)
        with pytest.raises(GatewayError) as caught:
            client.get("serverinfo")
        assert caught.value.kind == "slow"
        assert len(calls) == 1
        assert [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)] == []


def test_a_kept_connection_has_a_deadline_for_each_call(gateway: Replay) -> None:
    """An answer in time leaves the connection whole, and the next call over it can be cut."""
    client = GatewayClient(section(gateway.url, connect_timeout=1.0, read_timeout=1.0), KEY)
    ports: set[int] = set()
    stop = threading.Event()

    def good(handler: BaseHTTPRequestHandler) -> None:
        ports.add(handler.client_address[1])
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    def drip(handler: BaseHTTPRequestHandler) -> None:
        ports.add(handler.client_address[1])
        handler.wfile.write(HEADER)
        while not stop.wait(0.02):
            handler.wfile.write(b"a")

    gateway.routes.update({"/api/serverinfo": good, "/api/users": drip})
    assert client.get("serverinfo") == {}
    with pytest.raises(GatewayError) as caught:
        client.get("users")
    stop.set()
    assert caught.value.kind == "slow"
    assert len(ports) == 1
    assert client.get("serverinfo") == {}
