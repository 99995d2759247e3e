"""The HTTP client against a gateway that answers, and against one that does not behave."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from hoopjump.config import ConfigError
from hoopjump.gateway import client as client_module
from hoopjump.gateway.client import GatewayClient, GatewayError
from tests.gateway.replay import KEY, Replay, body, replay, section
from tests.tls import Authority


def failure(client: GatewayClient, *path: str) -> GatewayError:
    """The error of one GET; the API key is never in it."""
    with pytest.raises(GatewayError) as caught:
        client.get(*(path or ("serverinfo",)))
    assert KEY not in str(caught.value) + caught.value.message + caught.value.hint
    return caught.value


def test_answer_is_the_json_body(gateway: Replay, client: GatewayClient) -> None:
    """A recorded user comes back as the gateway sent it."""
    gateway.play("users_get_by_email")
    assert client.get("users", "alice@x.io") == body("users_get_by_email")
    assert gateway.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_path_segments_are_quoted(gateway: Replay, client: GatewayClient) -> None:
    """A value from a certificate stays one segment of the path."""
    gateway.answer("/api/users/a%2Fb%3Fc%23d%20e%7Cf", {})
    assert client.get("users", "a/b?c#d e|f") == {}


def test_static_organisation_key_goes_into_its_own_header(gateway: Replay) -> None:
    """The gateway takes `uuid|random` and `xapi-` keys as Api-Key only."""
    gateway.answer("/api/serverinfo", {})
    GatewayClient(section(gateway.url), "0c5f|secret").get("serverinfo")
    assert gateway.requests[0].headers["Api-Key"] == "0c5f|secret"
    assert "Authorization" not in gateway.requests[0].headers


def test_connection_is_reused(gateway: Replay, client: GatewayClient) -> None:
    """Twenty calls one after another take one TCP connection."""
    ports: set[int] = set()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        ports.add(handler.client_address[1])
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    gateway.routes["/api/serverinfo"] = reply
    for _ in range(20):
        client.get("serverinfo")
    assert len(ports) == 1


def test_many_threads_share_one_client(gateway: Replay, client: GatewayClient) -> None:
    """Every thread gets the answer to its own question."""
    for number in range(8):
        gateway.answer(f"/api/users/u{number}", {"id": number})
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(10):
            answer = client.get("users", f"u{number}")
            if answer != {"id": number}:
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(gateway.requests) == 80


def test_missing_thing_is_none(gateway: Replay, client: GatewayClient) -> None:
    """A 404 of the gateway's own means that there is no such user."""
    gateway.play("users_get_missing")
    assert client.find("users", "nobody@x.io") is None


def test_unknown_route_is_no_missing_thing(client: GatewayClient) -> None:
    """A 404 by something else (a wrong base URL) must not read as "no such user"."""
    with pytest.raises(GatewayError) as caught:
        client.find("users", "alice@x.io")
    assert caught.value.kind == "garbage"
    assert "without /api" in caught.value.hint


def test_gateway_that_is_down_is_unreachable() -> None:
    """A refused connection is told as such."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    error = failure(GatewayClient(section(url), KEY))
    assert error.kind == "unreachable"
    assert "Connection refused" in error.message
    assert f"is the gateway up at {url}?" in error.hint


def test_a_key_that_may_not_write_is_told_so(gateway: Replay, client: GatewayClient) -> None:
    """What reads and what writes take different keys."""
    for method in ("GET", "PUT"):
        gateway.answer("/api/serverconfig/misc", {"message": "access denied"}, 403, method=method)
    with pytest.raises(GatewayError) as reading:
        client.get("serverconfig", "misc")
    with pytest.raises(GatewayError) as writing:
        client.put("serverconfig", "misc", body={})
    assert (reading.value.status, "auditor" in reading.value.hint) == (403, True)
    assert (writing.value.status, "admin's API key" in writing.value.hint) == (403, True)


def test_unresolvable_name_is_unreachable() -> None:
    """A host name that does not exist is told without Python's object addresses."""
    error = failure(GatewayClient(section("http://gateway.invalid"), KEY))
    assert error.kind == "unreachable"
    assert "0x" not in error.message


def test_silent_gateway_is_slow(gateway: Replay, client: GatewayClient) -> None:
    """No answer within the read timeout is "slow", and is not asked for twice."""
    done = threading.Event()
    gateway.routes["/api/serverinfo"] = lambda _: (done.wait(5), None)[1]
    error = failure(client)
    done.set()
    assert error.kind == "slow"
    assert len(gateway.requests) == 1


def test_trickling_body_is_slow(gateway: Replay) -> None:
    """A body that never stops coming, byte by byte, ends at the deadline all the same."""
    stop = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not stop.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    gateway.routes["/api/serverinfo"] = trickle
    error = failure(GatewayClient(section(gateway.url, connect_timeout=0.2, read_timeout=0.3), KEY))
    stop.set()
    assert error.kind == "slow"


def test_endless_body_is_garbage(gateway: Replay, client: GatewayClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes than any answer has are not gathered."""
    monkeypatch.setattr(client_module, "RESPONSE_LIMIT", 1024 * 1024)

    def pour(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        while True:
            handler.wfile.write(b" " * 65536)

    gateway.routes["/api/serverinfo"] = pour
    error = failure(client)
    assert error.kind == "garbage"
    assert "larger than" in error.message


def test_connection_closed_without_answer_is_asked_once_more(gateway: Replay, client: GatewayClient) -> None:
    """A kept connection that the gateway has closed costs one repetition, not the login."""
    calls: list[int] = []

    def drop_first(handler: BaseHTTPRequestHandler) -> None:
        calls.append(1)
        if len(calls) == 1:
            handler.close_connection = True
            return
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    gateway.routes["/api/serverinfo"] = drop_first
    assert client.get("serverinfo") == {}
    assert len(calls) == 2


def test_put_is_never_repeated(gateway: Replay, client: GatewayClient) -> None:
    """What may have changed something is not sent again."""

    def drop(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    gateway.routes["PUT /api/serverconfig/misc"] = drop
    with pytest.raises(GatewayError) as caught:
        client.put("serverconfig", "misc", body={})
    assert caught.value.kind == "unreachable"
    assert len(gateway.requests) == 1


def test_half_a_body_is_unreachable(gateway: Replay, client: GatewayClient) -> None:
    """An answer that ends early is no answer."""

    def half(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b'{"id":')
        handler.close_connection = True

    gateway.routes["/api/serverinfo"] = half
    assert failure(client).kind == "unreachable"


@pytest.mark.parametrize(
    "text",
    [b"<html>", b"", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b'"\xff"', b"[" * 100000],
    ids=["html", "empty", "cut", "nan", "name-twice", "not-utf-8", "deep"],
)
def test_what_is_no_strict_json_is_garbage(gateway: Replay, client: GatewayClient, text: bytes) -> None:
    """Neither HTML nor lax JSON is an answer."""
    gateway.answer("/api/serverinfo", text)
    error = failure(client)
    assert error.kind == "garbage"


def test_compressed_body_is_garbage(gateway: Replay, client: GatewayClient) -> None:
    """Compression was not asked for, so nothing is inflated."""
    gateway.answer("/api/serverinfo", b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert failure(client).kind == "garbage"


def test_internal_error_tells_the_gateways_words(gateway: Replay, client: GatewayClient) -> None:
    """A 500 carries the gateway's message, without anything that acts on a terminal."""
    gateway.answer("/api/serverinfo", {"message": f"no \x1b[31mIDP {KEY}"}, status=500)
    error = failure(client)
    assert (error.kind, error.status) == ("status", 500)
    assert "no \\x1b[31mIDP ***" in error.message


def test_revoked_key_says_so(gateway: Replay, client: GatewayClient) -> None:
    """A 401 names the API key as the thing to mend."""
    gateway.play("fail_revoked_hpk")
    error = failure(client, "users", "alice@x.io")
    assert (error.kind, error.status) == ("status", 401)
    assert "revoked" in error.hint


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(gateway: Replay, client: GatewayClient, status: int) -> None:
    """The key is not carried to wherever a redirect points."""
    with replay() as elsewhere:
        elsewhere.answer("/api/serverinfo", {})
        gateway.answer("/api/serverinfo", b"", status=status, headers={"Location": elsewhere.url + "/api/serverinfo"})
        error = failure(client)
        assert (error.kind, error.status) == ("status", status)
        assert elsewhere.requests == []


def test_environment_does_not_choose_the_way(
    gateway: Replay, client: GatewayClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a proxy nor netrc of the environment sees or replaces the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password eve\n")
    netrc.chmod(0o600)
    with replay() as proxy:
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        gateway.answer("/api/serverinfo", {})
        client.get("serverinfo")
        assert proxy.requests == []
    assert gateway.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_cookies_are_not_kept(gateway: Replay, client: GatewayClient) -> None:
    """One caller's answer sets nothing for the next."""
    gateway.answer("/api/serverinfo", {}, headers={"Set-Cookie": "hoop_access_token=x; Path=/"})
    client.get("serverinfo")
    client.get("serverinfo")
    assert "Cookie" not in gateway.requests[1].headers


@pytest.mark.parametrize("key", ["", "hpk_a b", "hpk_a\r\nX: y", "hpk_ä"])
def test_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """A damaged credential is a configuration error, without its text."""
    with pytest.raises(ConfigError) as caught:
        GatewayClient(section("http://127.0.0.1:1"), key)
    assert not key or key not in caught.value.message


def test_tls_with_our_ca_file_is_accepted(tmp_path: Path) -> None:
    """A private CA is trusted by gateway.ca_file."""
    authority = Authority()
    pem = authority.write(tmp_path / "ca.pem")
    with replay(authority.issue(tmp_path)) as scene:
        scene.play("serverinfo")
        answer: Any = GatewayClient(section(scene.url, ca_file=pem), KEY).get("serverinfo")
        assert answer["version"] == "0.0.0-e939597"


@pytest.mark.parametrize("case", ["unknown CA", "other CA", "other host"])
def test_wrong_tls_certificate_is_refused(tmp_path: Path, case: str) -> None:
    """Nothing is asked over a connection whose other end is not proven to be the gateway."""
    authority = Authority()
    trusted = Authority() if case == "other CA" else authority
    settings = {} if case == "unknown CA" else {"ca_file": trusted.write(tmp_path / "ca.pem")}
    with replay(authority.issue(tmp_path, "elsewhere.test" if case == "other host" else "127.0.0.1")) as scene:
        scene.play("serverinfo")
        error = failure(GatewayClient(section(scene.url, **settings), KEY))
        assert error.kind == "tls"
        assert "ca_file" in error.hint
        assert scene.requests == []


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "no-pem"])
def test_useless_ca_file_is_named(tmp_path: Path, content: str | None) -> None:
    """A CA file that is missing or holds no certificate is told, not ignored."""
    pem = tmp_path / "ca.pem"
    if content is not None:
        pem.write_text(content)
    with replay(Authority().issue(tmp_path)) as scene:
        error = failure(GatewayClient(section(scene.url, ca_file=pem), KEY))
    assert error.kind == "tls"
    assert "ca_file" in error.hint


def test_plain_http_where_tls_is_expected_is_told(gateway: Replay) -> None:
    """A gateway without TLS under an https URL is a TLS failure, not a hang."""
    error = failure(GatewayClient(section(gateway.url.replace("http:", "https:")), KEY))
    assert error.kind in ("tls", "unreachable")
