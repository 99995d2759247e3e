"""A document comes from where it may come, in bounded size and time, or not at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hoopjump.decision.jwk import SET_LIMIT
from hoopjump.keys import fetch as module
from hoopjump.keys.addresses import is_public
from hoopjump.keys.fetch import FetchError, Way, fetch
from tests.keys.provider import JWKS, Answer, Provider


@pytest.fixture
def way(idp: Provider) -> Way:
    return Way(idp.ca_file, allow_private=True)


def test_a_document_comes_with_what_its_headers_say(idp: Provider, way: Way) -> None:
    """And nothing of the environment is sent along."""
    idp.headers = {"Cache-Control": "max-age=77", "ETag": '"v1"'}
    document = fetch(idp.issuer + JWKS, way)
    assert (document.etag, document.cache_control) == ('"v1"', "max-age=77")
    assert b'"first"' in (document.body or b"")
    sent = {name.lower() for name in idp.requests[0][1]}
    assert sent - {"connection"} == {"host", "accept", "accept-encoding", "user-agent"}


def test_an_unchanged_document_is_not_sent_again(idp: Provider, way: Way) -> None:
    """RFC 9110 section 13.1.2."""
    idp.headers = {"ETag": '"v1"'}
    assert fetch(idp.issuer + JWKS, way, '"v1"').body is None
    assert fetch(idp.issuer + JWKS, way, '"v0"').body is not None


def test_a_certificate_that_nobody_vouches_for_is_refused(idp: Provider) -> None:
    """There is no way to turn this off."""
    with pytest.raises(FetchError, match="TLS failed") as caught:
        fetch(idp.issuer + JWKS, Way(allow_private=True))
    assert "ca_file" in caught.value.hint
    assert idp.requests == []


def test_a_certificate_for_another_name_is_refused(idp: Provider, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has some certificate of a trusted CA is not every provider."""
    _resolve(monkeypatch, lambda _: ["127.0.0.1"])
    with pytest.raises(FetchError, match="TLS failed"):
        fetch(f"https://idp.example.com:{idp.port}{JWKS}", way)


def test_plain_http_is_refused_unless_allowed(idp: Provider) -> None:
    """Whoever is between could say which keys count."""
    with pytest.raises(FetchError, match="plain http is not allowed"):
        fetch(f"http://127.0.0.1:{idp.port}/", Way(allow_private=True))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_provider_is_followed(idp: Provider, way: Way, status: int) -> None:
    """Some have their keys behind one."""
    idp.answers["/keys"] = lambda: Answer(status, headers={"Location": JWKS})
    assert fetch(idp.issuer + "/keys", way).body == fetch(idp.issuer + JWKS, way).body


@pytest.mark.parametrize(
    "target",
    [
        "https://localhost:{port}/jwks",
        "http://127.0.0.1:{port}/jwks",
        "https://127.0.0.1:1/jwks",
        "//localhost:{port}/jwks",
        "file:///etc/passwd",
        "https://127.0.0.1:x/",
        "gopher://127.0.0.1/",
        "http://[",
        "//\xff",
    ],
)
def test_a_redirect_to_elsewhere_is_refused(idp: Provider, way: Way, target: str) -> None:
    """Another host, port or scheme: the provider's machine must not choose what this one connects to."""
    idp.answers["/keys"] = lambda: Answer(302, headers={"Location": target.format(port=idp.port)})
    with pytest.raises(FetchError, match=r"a redirect to .*, which is elsewhere"):
        fetch(idp.issuer + "/keys", way)
    assert idp.asked() == 0


def test_redirects_have_an_end(idp: Provider, way: Way) -> None:
    """A circle is no way."""
    idp.answers["/keys"] = lambda: Answer(302, headers={"Location": "/keys"})
    with pytest.raises(FetchError, match="more than 3 redirects"):
        fetch(idp.issuer + "/keys", way)
    assert idp.asked("/keys") == 4


def test_nothing_of_a_redirects_body_is_read(idp: Provider, way: Way) -> None:
    """It may be endless, or inflate to gigabytes; where it leads is all that counts."""
    bomb = {"Location": "https://localhost/", "Content-Encoding": "gzip"}
    noise = os.urandom(1 << 20)
    sent = []

    def pieces() -> Iterator[bytes]:
        for _ in range(2000):
            sent.append(len(noise))
            yield noise

    idp.answers["/keys"] = lambda: Answer(302, headers=bomb, pieces=pieces(), length=2000 << 20)
    with pytest.raises(FetchError, match="which is elsewhere"):
        fetch(idp.issuer + "/keys", way)
    # What the connection takes by itself.
    assert sum(sent) < 50 << 20


def test_an_answer_without_an_end_is_cut(idp: Provider, way: Way) -> None:
    """At the size that a key set may have."""
    idp.answers[JWKS] = lambda: Answer(pieces=(b"x" * 65536,) * 1000)
    with pytest.raises(FetchError, match=f"larger than {SET_LIMIT} bytes"):
        fetch(idp.issuer + JWKS, way)


def test_an_answer_that_drips_is_cut(idp: Provider, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then holds a thread for no longer than a whole answer may take."""
    monkeypatch.setattr(module, "TOTAL_SECONDS", 0.5)
    idp.answers[JWKS] = lambda: Answer(pieces=(b" ",) * 10000, pause=0.05)
    with pytest.raises(FetchError, match=r"no whole answer within 0.5 s"):
        fetch(idp.issuer + JWKS, way)


def test_an_answer_that_is_cut_short_is_none(idp: Provider, way: Way) -> None:
    """Half of a key set could be a key set."""
    idp.answers[JWKS] = lambda: Answer(200, b'{"keys": []}', {"Content-Length": "100", "Connection": "close"})
    with pytest.raises(FetchError):
        fetch(idp.issuer + JWKS, way)


@pytest.mark.parametrize("status", [204, 304, 400, 401, 404, 500, 503])
def test_any_other_status_is_no_answer(idp: Provider, way: Way, status: int) -> None:
    """A 304 to a question that named nothing included."""
    idp.answers[JWKS] = lambda: Answer(status)
    with pytest.raises(FetchError, match=f"status {status}"):
        fetch(idp.issuer + JWKS, way)


def test_an_answer_that_is_compressed_is_refused(idp: Provider, way: Way) -> None:
    """A few kilobytes could become gigabytes."""
    idp.answers[JWKS] = lambda: Answer(200, b"\x1f\x8b", {"Content-Encoding": "gzip"})
    with pytest.raises(FetchError, match="compressed"):
        fetch(idp.issuer + JWKS, way)


def test_settings_of_the_environment_do_not_count(
    idp: Provider, way: Way, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No proxy, no netrc, no CA bundle."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none"))
    assert fetch(idp.issuer + JWKS, way).body is not None


# -- Addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a00:1::",
        "64:ff9b:1::a00:1",
        "fec0::1",
        "3fff::1",
        "2001:0:7f00:1::",
        "192.88.99.1",
        "not an address",
        "",
    ],
)
def test_an_address_that_is_not_the_internets_is_not_public(address: str) -> None:
    """Loopback, private, shared, link-local with the clouds' metadata, and the same wrapped in IPv6."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    """Wrapped ones too."""
    assert is_public(address)


def _resolve(monkeypatch: pytest.MonkeyPatch, answer: Callable[[int], list[str]]) -> list[str]:
    """Have names lead where ``answer`` says at each question, addresses to themselves; the names that were asked."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def lookup(host: str, port: int, *arguments: Any, **options: Any) -> list[Any]:
        if not any(char.isalpha() for char in host):
            return real(host, port, *arguments, **options)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in answer(len(asked))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return asked


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "0x7f.1", "2130706433"])
def test_a_private_address_is_refused_however_it_is_written(idp: Provider, host: str) -> None:
    """What counts is where the connection would go."""
    with pytest.raises(FetchError, match=r"is no public address|is not a URL"):
        fetch(f"https://{host}:{idp.port}{JWKS}", Way(idp.ca_file))
    assert idp.requests == []


def test_a_name_that_leads_inside_is_refused(idp: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has a domain can have it lead anywhere."""
    _resolve(monkeypatch, lambda _: ["10.0.0.1", "127.0.0.1"])
    with pytest.raises(FetchError, match=r"is at 10.0.0.1, 127.0.0.1, which is no public address") as caught:
        fetch(f"https://idp.example.com:{idp.port}{JWKS}", Way(idp.ca_file))
    assert "allow_private" in caught.value.hint


def test_a_name_that_leads_elsewhere_a_moment_later_leads_nowhere(
    idp: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when looked at, private when connected to. It is looked up once."""
    connected: list[str] = []

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address[0])
        raise OSError("not in a test")

    asked = _resolve(monkeypatch, lambda time: ["8.8.8.8"] if time == 1 else ["127.0.0.1"])
    monkeypatch.setattr(module, "create_connection", connect)
    with pytest.raises(FetchError, match="not in a test"):
        fetch(f"https://idp.example.com:{idp.port}{JWKS}", Way(idp.ca_file))
    assert (asked, connected) == (["idp.example.com"], ["8.8.8.8"])
