"""One HTTP client for the gateway's REST API.

The API key is in every request's headers, so the client talks to exactly one origin: no redirect is followed, no
proxy, netrc or certificate setting of the environment is heeded, and TLS is always verified. Answers are bounded in
size and time, and must be strict JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote

from hoopjump.config import ConfigError, GatewaySection
from hoopjump.decision.reasons import printable
from hoopjump.errors import HoopjumpError
from hoopjump.http.deadline import Deadline, DeadlineAdapter
from hoopjump.http.exchange import ExchangeError, Fault, exchange, new_session, read_body

RESPONSE_LIMIT: Final = 16 * 1024 * 1024
_NOTE_LIMIT: Final = 200

Kind = Fault | Literal["status"]
Json = dict[str, Any] | list[Any] | str | int | float | bool | None


class GatewayError(HoopjumpError):
    """The gateway gave no usable answer. ``status`` is the HTTP status where there was one; the API key is in no text.

    Kinds: ``unreachable`` (no connection), ``slow`` (no answer in time), ``tls`` (its certificate is not trusted),
    ``status`` (an answer other than was asked for, redirects included), ``garbage`` (an answer that means nothing).
    """

    def __init__(self, kind: Kind, message: str, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint)
        self.kind: Kind = kind
        self.status = status


class GatewayClient:
    """Calls to ``api_url`` + ``/api``; safe to share between threads, which keep up to ``pool`` connections.

    ``api_key`` is an API key (``hpk_…``), a user's access token, or a static organisation key (``xapi-…``, ``uuid|…``),
    which the gateway takes in a header of its own. Raises :class:`ConfigError` when the key cannot be used.
    """

    def __init__(self, section: GatewaySection, api_key: str, pool: int = 16) -> None:
        if not re.fullmatch(r"[\x21-\x7e]+", api_key):
            raise ConfigError(
                "the gateway's API key is empty or holds characters that no key has",
                "put the key, and nothing else, into the file that gateway.api_key or --api-key names",
            )
        self.base_url = section.api_url.rstrip("/") + "/api"
        self.pool = pool
        self._key = api_key
        self._timeouts = (section.connect_timeout, section.read_timeout)
        adapter = DeadlineAdapter(pool_connections=1, pool_maxsize=pool, max_retries=0)
        self._session = new_session(adapter, section.ca_file)
        static = "|" in api_key or api_key.startswith("xapi-")
        self._session.headers.update({"Api-Key": api_key} if static else {"Authorization": f"Bearer {api_key}"})

    def get(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        """The JSON of a 200 answer; path segments are quoted. Raises :class:`GatewayError`."""
        return self._expect_ok("GET", path, *self._call("GET", path, query))

    def find(self, *path: str, query: Mapping[str, str] | None = None) -> Json:
        """Like :meth:`get`, but None when the gateway itself says 404: what is asked for does not exist."""
        status, body = self._call("GET", path, query)
        # An unknown route is a 404 as well, but in text/plain: then the base URL is wrong, and nothing is known.
        if status == 404 and _message(body) is not None:
            return None
        return self._expect_ok("GET", path, status, body)

    def put(self, *path: str, body: Mapping[str, Any]) -> Json:
        """PUT a JSON object; the JSON of a 200 answer. Never repeated. Raises :class:`GatewayError`."""
        return self._expect_ok("PUT", path, *self._call("PUT", path, None, body))

    def close(self) -> None:
        """Close the idle connections; a later call opens new ones."""
        self._session.close()

    def _call(
        self, method: str, path: tuple[str, ...], query: Mapping[str, str] | None, body: Mapping[str, Any] | None = None
    ) -> tuple[int, bytes]:
        with Deadline(sum(self._timeouts)) as deadline:
            try:
                return self._once(method, path, query, body, deadline)
            except GatewayError as error:
                # A kept connection that the gateway has closed meanwhile fails like this. Only what changes nothing is
                # asked again.
                if method != "GET" or error.kind != "unreachable":
                    raise
            return self._once(method, path, query, body, deadline)

    def _once(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        deadline: Deadline,
    ) -> tuple[int, bytes]:
        url = "/".join((self.base_url, *(quote(segment, safe="@") for segment in path)))
        try:
            with exchange(self._session, method, url, deadline, self._timeouts, params=query, json=body) as response:
                return response.status_code, read_body(response, RESPONSE_LIMIT)
        except ExchangeError as error:
            hint = {
                "tls": "set gateway.ca_file to the PEM file of the CA that signed the gateway's certificate",
                "unreachable": f"is the gateway up at {self.base_url.removesuffix('/api')}? that is gateway.api_url",
            }.get(error.kind, "")
            raise GatewayError(error.kind, f"{_what(method, path)}: {error}", hint) from error

    def _expect_ok(self, method: str, path: tuple[str, ...], status: int, body: bytes) -> Json:
        what = _what(method, path)
        if status == 200:
            return _strict_json(body, what)
        if 300 <= status < 400:
            raise GatewayError(
                "status", f"{what}: {status}, a redirect", "set gateway.api_url to the address it leads to", status
            )
        note = _message(body)
        if status == 404 and note is None:
            raise GatewayError(
                "garbage", f"{what}: 404, and not by a gateway", "gateway.api_url goes without /api", status
            )
        text = f": {printable(note.replace(self._key, '***'), _NOTE_LIMIT)}" if note else ""
        hint = {
            401: "the API key is unknown, revoked or its owner is inactive",
            403: "the API key needs the group auditor" if method == "GET" else "this takes an admin's API key",
        }.get(status, "")
        raise GatewayError("status", f"{what}: {status}{text}", hint, status)


def _what(method: str, path: tuple[str, ...]) -> str:
    return f"gateway: {method} /api/{'/'.join(quote(segment, safe='@|:+') for segment in path)}"


def _message(body: bytes) -> str | None:
    """The ``message`` of the gateway's error object, if the body is one."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    message = data.get("message") if isinstance(data, dict) else None
    return message if isinstance(message, str) else None


def _strict_json(body: bytes, what: str) -> Json:
    """JSON as RFC 8259 has it: UTF-8, no NaN or Infinity, and no name twice in one object."""
    try:
        value: Json = json.loads(body.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise GatewayError("garbage", f"{what}: the answer is not JSON") from error
    if value is None:
        # null is no answer, and must not be taken for find's "does not exist".
        raise GatewayError("garbage", f"{what}: the answer is null")
    return value


def _refuse(name: str) -> None:
    raise ValueError(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
