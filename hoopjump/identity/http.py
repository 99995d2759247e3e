"""HTTPS to a provider and to hoopjump-ca: JSON objects, bounded in size and time.

No redirect is followed, no netrc is read, no cookie is kept; TLS is verified. Proxies of the environment are heeded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies

from hoopjump.decision.jose import TokenError, parse_object
from hoopjump.http.deadline import Deadline, DeadlineAdapter
from hoopjump.http.exchange import ExchangeError, Fault, exchange, new_session, read_body
from hoopjump.identity.errors import IdentityError

ANSWER_LIMIT: Final = 256 * 1024
CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 20.0
# For one answer, however slowly its bytes come.
WHOLE_SECONDS: Final = 40.0

# What a proxy says for a server that is away; one that is there says in JSON what is wrong.
_AWAY: Final = (429, 502, 503, 504)
_SOON: Final = "try again in a minute"

Whose = Literal["provider", "ca"]

_CODES: Final[Mapping[Fault, str]] = {
    "unreachable": "unreachable",
    "slow": "unreachable",
    "tls": "tls",
    "garbage": "malformed",
}
_HINTS: Final[Mapping[Fault, str]] = {
    "unreachable": f"{_SOON}, and compare the address with your administrator's",
    "slow": _SOON,
    "tls": "ca_file names a private CA's certificate",
    "garbage": "",
}
# OpenSSL's words (x509_txt.c).
_OF_CLOCKS: Final = re.compile("certificate (is not yet valid|has expired)")
_CLOCK: Final = "compare this machine's clock; if that is right, the server's certificate must be renewed"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, and its JSON object where it is one. Tokens may be in it, so its text shows none."""

    status: int
    members: Mapping[str, Any] | None = field(repr=False)
    body: bytes = field(repr=False)


class Http:
    """Calls of one login. ``allow_http`` lets URLs be http."""

    def __init__(self, ca_file: Path | None = None, *, allow_http: bool = False) -> None:
        self._allow_http = allow_http
        self._session = new_session(DeadlineAdapter(max_retries=0), ca_file)

    def get(self, url: str) -> Reply:
        """GET; raises :class:`IdentityError` when there is no answer."""
        return self._call("GET", url)

    def post_form(self, url: str, fields: Mapping[str, str], login: tuple[str, str] | None = None) -> Reply:
        """POST a form, with HTTP Basic where there is a ``login``; raises :class:`IdentityError`."""
        return self._call("POST", url, data=dict(fields), auth=login)

    def post_json(self, url: str, value: Mapping[str, Any]) -> Reply:
        """POST a JSON object to hoopjump-ca; raises :class:`IdentityError`."""
        return self._call("POST", url, "ca", json=dict(value))

    def _call(self, method: str, url: str, whose: Whose = "provider", **content: Any) -> Reply:  # noqa: ANN401
        scheme, place = urlsplit(url).scheme, _place(url)
        if scheme != "https" and not (scheme == "http" and self._allow_http):
            raise IdentityError("provider-unfit", f"{place}: not https", "see allow_http in docs/configuration.md")
        try:
            with (
                Deadline(WHOLE_SECONDS) as deadline,
                exchange(
                    self._session,
                    method,
                    url,
                    deadline,
                    (CONNECT_SECONDS, READ_SECONDS),
                    proxies=get_environ_proxies(url, no_proxy=None),
                    **content,
                ) as response,
            ):
                body = read_body(response, ANSWER_LIMIT)
                reply = Reply(response.status_code, _object(body), body)
        except ExchangeError as error:
            hint = _CLOCK if error.kind == "tls" and _OF_CLOCKS.search(str(error)) else _HINTS[error.kind]
            raise IdentityError(f"{whose}-{_CODES[error.kind]}", f"{place}: {error}", hint) from error
        if reply.status in _AWAY and not {"error", "reason"} & (reply.members or {}).keys():
            raise IdentityError(f"{whose}-unreachable", f"{place} is away or overrun: status {reply.status}", _SOON)
        return reply


def _place(url: str) -> str:
    """The URL without what stands behind its path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        return parse_object(body)
    except TokenError:
        return None
