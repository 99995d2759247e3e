"""Getting one document of a provider, from where it may come and in bounded size and time.

The address is checked where the connection is made: a name is looked up once, and what it leads to is what is
connected to, so a name that leads elsewhere a moment later (DNS rebinding) leads nowhere. No proxy, netrc or
certificate setting of the environment is heeded, and TLS is always verified.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
from urllib3.util.connection import create_connection

from hoopjump.decision.jwk import SET_LIMIT
from hoopjump.decision.reasons import printable
from hoopjump.errors import HoopjumpError
from hoopjump.http.deadline import Deadline, DeadlineAdapter, Held
from hoopjump.http.exchange import ExchangeError, exchange, new_session, read_body
from hoopjump.keys.addresses import is_public

CONNECT_SECONDS: Final = 1.0
TOTAL_SECONDS: Final = 3.0
ADDRESSES: Final = 3
REDIRECTS: Final = 3
ETAG_LIMIT: Final = 256
_PORTS: Final = {"http": 80, "https": 443}


class FetchError(HoopjumpError):
    """A document cannot be had; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Way:
    """What is allowed on the way to a provider."""

    ca_file: Path | None = None
    allow_http: bool = False
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """An answer: ``body`` is None when the document is what its ``etag`` named."""

    body: bytes | None
    etag: str | None
    cache_control: str | None
    age: str | None


def fetch(url: str, way: Way, etag: str | None = None) -> Document:
    """The document at a URL; raises :class:`FetchError`. Takes at most some seconds, and blocks meanwhile.

    Redirects are followed within one origin (scheme, host and port) only.
    """
    place = urlsplit(url)
    adapter = DeadlineAdapter(max_retries=0) if way.allow_private else _PublicAdapter(max_retries=0)
    with new_session(adapter, way.ca_file) as session, Deadline(TOTAL_SECONDS) as deadline:
        for _ in range(REDIRECTS + 1):
            check_url(place.geturl(), way)
            answer = _once(session, place.geturl(), etag, deadline)
            if isinstance(answer, Document):
                return answer
            place = _within(place, answer)
    raise FetchError(f"{url}: more than {REDIRECTS} redirects")


def check_url(url: str, way: Way) -> None:
    """Raises :class:`FetchError` for what is no URL to fetch from."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0 and parts.username is None
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise FetchError(f"{printable(url)!a} is not a URL that keys are fetched from")
    if parts.scheme == "http" and not way.allow_http:
        raise FetchError(f"{url}: plain http is not allowed", "see allow_http of the issuer")


def _within(place: SplitResult, answer: str) -> SplitResult:
    """Where a redirect leads, in the same origin."""
    try:
        target = urlsplit(urljoin(place.geturl(), answer))
    except ValueError:
        target = None
    if target is None or _origin(target) != _origin(place):
        raise FetchError(
            f"{place.geturl()}: a redirect to {printable(target.geturl() if target else answer)}, which is elsewhere",
            "configure the place that it leads to, if that is the provider's own",
        )
    return target


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    try:
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", None, None


def _once(session: requests.Session, url: str, etag: str | None, deadline: Deadline) -> Document | str:
    """The document, or where a redirect leads."""
    known = {"If-None-Match": etag} if etag else {}
    try:
        with exchange(session, "GET", url, deadline, (CONNECT_SECONDS, TOTAL_SECONDS), headers=known) as response:
            if response.status_code in (301, 302, 303, 307, 308):
                return response.headers.get("Location", "")
            if response.status_code != 200 and not (response.status_code == 304 and etag):
                raise FetchError(f"{url}: status {response.status_code}")
            named = response.headers.get("ETag")
            return Document(
                read_body(response, SET_LIMIT) if response.status_code == 200 else None,
                named if named and len(named) <= ETAG_LIMIT and named.isascii() and named.isprintable() else None,
                response.headers.get("Cache-Control"),
                response.headers.get("Age"),
            )
    except ExchangeError as error:
        trust = "set ca_file of the issuer to the PEM file of the CA that signed the provider's certificate"
        raise FetchError(f"{url}: {error}", trust if error.kind == "tls" else "") from error


class _Public(Held):
    """A connection to a public address, which its name is looked up for once."""

    def _connect(self) -> socket.socket:
        host: str = self._dns_host  # type: ignore[attr-defined]
        port: int = self.port  # type: ignore[attr-defined]
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        public = [address for address in addresses if is_public(address)]
        if not public:
            raise FetchError(
                f"{host} is at {printable(', '.join(addresses))}, which is no public address",
                "see allow_private of the issuer",
            )
        fault: OSError = OSError("no address")
        for address in public[:ADDRESSES]:
            try:
                return create_connection((address, port), self.timeout)  # type: ignore[attr-defined]
            except OSError as error:
                fault = error
        raise fault


class _PublicAdapter(DeadlineAdapter):
    connection = _Public
