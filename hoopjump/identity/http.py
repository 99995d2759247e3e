"""HTTPS to a provider and to hoopjump-ca: JSON objects, bounded in size and time.

No redirect is followed, no netrc is read, no cookie is kept; TLS is verified. Proxies of the environment are heeded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.utils import get_environ_proxies

from hoopjump import __version__
from hoopjump.decision.jose import TokenError, parse_object
from hoopjump.identity.errors import IdentityError

ANSWER_LIMIT: Final = 256 * 1024
CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 20.0
# For one answer, however slowly its bytes come.
WHOLE_SECONDS: Final = 40.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, and its JSON object where it is one. Tokens may be in it, so its text shows none."""

    status: int
    members: Mapping[str, Any] | None = field(repr=False)
    body: bytes = field(repr=False)


class Http:
    """Calls of one login. ``allow_http`` lets URLs be http."""

    def __init__(self, ca_file: Path | None = None, *, allow_http: bool = False) -> None:
        self._verify: bool | str = str(ca_file) if ca_file else True
        self._allow_http = allow_http
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._session.headers.clear()
        self._session.headers.update(
            {
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"hoopjump/{__version__}",
            }
        )

    def get(self, url: str) -> Reply:
        """GET; raises :class:`IdentityError` when there is no answer."""
        return self._call("GET", url)

    def post_form(self, url: str, fields: Mapping[str, str], login: tuple[str, str] | None = None) -> Reply:
        """POST a form, with HTTP Basic where there is a ``login``; raises :class:`IdentityError`."""
        return self._call("POST", url, data=dict(fields), auth=login)

    def post_json(self, url: str, value: Mapping[str, Any]) -> Reply:
        """POST a JSON object; raises :class:`IdentityError`."""
        return self._call("POST", url, json=dict(value))

    def _call(self, method: str, url: str, **content: Any) -> Reply:  # noqa: ANN401 - passed on
        scheme, place = urlsplit(url).scheme, _place(url)
        if scheme != "https" and not (scheme == "http" and self._allow_http):
            raise IdentityError("provider-unfit", f"{place}: not https", "see allow_http in docs/login.md")
        try:
            with self._session.request(
                method,
                url,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                verify=self._verify,
                proxies=get_environ_proxies(url, no_proxy=None),
                allow_redirects=False,
                stream=True,
                **content,
            ) as response:
                body = _read(response, place)
                return Reply(response.status_code, _object(body), body)
        except requests.exceptions.SSLError as error:
            raise IdentityError(
                "provider-tls", f"{place}: TLS failed: {_cause(error)}", "ca_file names a private CA's certificate"
            ) from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise IdentityError("provider-unreachable", f"{place}: {_cause(error)}") from error


def _place(url: str) -> str:
    """The URL without what stands behind its path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _read(response: requests.Response, place: str) -> bytes:
    parts: list[bytes] = []
    size, deadline = 0, time.monotonic() + WHOLE_SECONDS
    while chunk := response.raw.read1(64 * 1024):
        parts.append(chunk)
        size += len(chunk)
        if size > ANSWER_LIMIT:
            raise IdentityError("provider-malformed", f"{place}: the answer is larger than {ANSWER_LIMIT} bytes")
        if time.monotonic() > deadline:
            raise IdentityError("provider-unreachable", f"{place}: no whole answer in {WHOLE_SECONDS:g} s")
    return b"".join(parts)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        return parse_object(body)
    except TokenError:
        return None


def _cause(error: BaseException) -> str:
    """The innermost reason; what requests and urllib3 wrap around it holds URLs with queries."""
    reason: BaseException = error
    while True:
        inner = getattr(reason, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((part for part in reason.args if isinstance(part, BaseException)), reason.__cause__)
        if inner is None or inner is reason:
            break
        reason = inner
    if isinstance(reason, TimeoutError | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    text = getattr(reason, "strerror", None) or getattr(reason, "verify_message", None)
    return str(text) if text else type(reason).__name__
