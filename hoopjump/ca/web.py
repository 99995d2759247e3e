"""HTTP of hoopjump-ca: three paths, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from hoopjump.ca.limits import neighbourhood, plain_address
from hoopjump.ca.metrics import CONTENT_TYPE, Metrics
from hoopjump.ca.refusal import RefusedError
from hoopjump.ca.request import BODY_LIMIT
from hoopjump.ca.server import HEADERS
from hoopjump.ca.service import Answer, Service
from hoopjump.decision.reasons import Reason

CERTIFICATES: Final = "/ssh/certificates"
HEALTH: Final = "/healthz"
METRICS: Final = "/metrics"

_METHOD: Final = {CERTIFICATES: "POST", HEALTH: "GET", METRICS: "GET"}

_UNKNOWN: Final = "unknown"


class Site:
    """Answers HTTP requests; ``source_header`` names the client where a proxy is in front, else None."""

    def __init__(self, service: Service, metrics: Metrics, source_header: str | None) -> None:
        self._service = service
        self._metrics = metrics
        self._source_header = source_header
        self._paths: dict[str, Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            CERTIFICATES: self._certificates,
            HEALTH: self._health,
            METRICS: self._numbers,
        }

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """The answer to one request; the connection ends with it."""
        # As it was written: what a proxy keeps from us under one spelling must not get in under another.
        path = request.rel_url.raw_path
        respond = self._paths.get(path)
        if respond is None:
            response = web.Response(status=404, text="not found\n")
        elif request.method != _METHOD[path]:
            response = web.Response(status=405, text="method not allowed\n", headers={"Allow": _METHOD[path]})
        else:
            response = await respond(request)
        response.headers.update(HEADERS)
        response.force_close()
        return response

    async def _certificates(self, request: web.BaseRequest) -> web.Response:
        try:
            source, site = self._source(request)
        except ValueError:
            detail = f"the proxy sends no single address in {self._source_header}"
            error = RefusedError(Reason.REQUEST_MALFORMED, detail)
            # Those whom nobody can tell apart count as one.
            return _json(self._service.admit(_UNKNOWN) or self._service.refuse(error, _UNKNOWN))
        refused = self._service.admit(site)
        if refused is not None:
            return _json(refused)
        body = await _read(request)
        return _json(await self._service.certify(body, source))

    def _source(self, request: web.BaseRequest) -> tuple[str, str]:
        """The client's address, and what counts as its neighbourhood; raises :class:`ValueError`."""
        if self._source_header is None:
            source = request.remote or ""
        else:
            # Of two, one is the client's own: a proxy was to replace it and has added to it.
            source = ", ".join(request.headers.getall(self._source_header, ()))
        return plain_address(source), neighbourhood(source)

    async def _health(self, _: web.BaseRequest) -> web.Response:
        unwell = await self._service.unwell()
        return web.Response(status=503 if unwell else 200, text=f"{unwell or 'ok'}\n")

    async def _numbers(self, _: web.BaseRequest) -> web.Response:
        return web.Response(body=self._metrics.text().encode(), headers={"Content-Type": CONTENT_TYPE})


async def _read(request: web.BaseRequest) -> bytes:
    """The body, or one byte more than a body may have."""
    parts: list[bytes] = []
    left = BODY_LIMIT + 1
    if (request.content_length or 0) >= left:
        return bytes(left)
    while left > 0:
        part = await request.content.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _json(answer: Answer) -> web.Response:
    headers = {"Content-Type": "application/json"}
    if answer.status == 429:
        headers["Retry-After"] = "60"
    return web.Response(status=answer.status, body=f"{json.dumps(answer.members)}\n".encode(), headers=headers)
