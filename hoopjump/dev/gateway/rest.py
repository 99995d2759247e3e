"""The API: routing, credentials, roles, faults, and the answers' outer form."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from hoopjump.dev.gateway.faults import Faults
from hoopjump.dev.gateway.identity import Caller, Unauthorized, authenticate
from hoopjump.dev.gateway.model import Store

SERVER = "hoopgateway/0.0.0-dev"
VERSION = "0.0.0-dev"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Guarded = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]

STORE = web.AppKey("store", Store)
FAULTS = web.AppKey("faults", Faults)


def answer(body: object, status: int = 200, content_type: str = "application/json; charset=utf-8") -> web.Response:
    """A JSON answer, encoded as Go's encoding/json does (compact, with <, > and & escaped)."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return web.Response(status=status, body=text.encode(), headers={"Content-Type": content_type})


def failure(status: int, message: str) -> web.Response:
    """An error answer."""
    return answer({"message": message}, status)


def empty(status: int = 204) -> web.Response:
    """An answer without a body; the gateway names a content type all the same."""
    return web.Response(status=status, headers={"Content-Type": "application/json; charset=utf-8"})


def sql_like(text: str) -> re.Pattern[str]:
    """An SQL LIKE pattern; a backslash takes the next character as it is (PostgreSQL's default escape)."""
    parts = re.findall(r"\\.|.", text, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(part) or re.escape(part[-1]) for part in parts) + r"\Z", re.DOTALL)


def unknown_route() -> web.Response:
    """What the router says when nothing fits."""
    return web.Response(status=404, body=b"404 page not found", headers={"Content-Type": "text/plain"})


async def body_of(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; raises :class:`BadBody`."""
    try:
        body = json.loads(await request.read() or b"null")
    except ValueError as error:
        raise BadBody("invalid character in JSON body") from error
    if not isinstance(body, dict):
        raise BadBody("EOF" if body is None else "json: cannot unmarshal value into an object")
    return body


class BadBody(Exception):  # noqa: N818 - it is an answer more than an error
    """The body is not what the route takes; answered with 400."""


def guarded(handler: Guarded, allow: str = "any") -> Handler:
    """A handler behind credentials.

    ``allow``: ``any``; ``not-auditor``; ``reader`` (admin or auditor); ``admin``.
    """

    async def checked(request: web.Request) -> web.StreamResponse:
        try:
            caller = authenticate(
                request.app[STORE], request.headers.get("Api-Key", ""), request.headers.get("Authorization", "")
            )
        except Unauthorized as error:
            return failure(401, str(error))
        refused = (
            (allow == "admin" and not caller.is_admin)
            or (allow == "reader" and not (caller.is_admin or caller.is_auditor))
            or (allow == "not-auditor" and caller.is_auditor)
        )
        if refused:
            return failure(403, "access denied")
        return await handler(request, caller)

    return checked


@web.middleware
async def _outer(request: web.Request, handler: Handler) -> web.StreamResponse:
    faults = request.app[FAULTS]
    if request.path.startswith("/api"):
        if faults.api_delay and faults.api_delay_for in unquote(request.path_qs):
            await asyncio.sleep(faults.api_delay)
        if faults.api_down and request.transport is not None:
            request.transport.abort()
        if faults.api_garbage:
            return web.Response(
                body=b"<html>\x00 not JSON", headers={"Content-Type": "application/json; charset=utf-8"}
            )
        if faults.api_status:
            return failure(faults.api_status, "internal server error")
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return unknown_route()
    except BadBody as error:
        return failure(400, str(error))


async def _name_the_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER


def new_app(store: Store, faults: Faults) -> web.Application:
    """An application without routes."""
    app = web.Application(middlewares=[_outer], client_max_size=32 * 1024 * 1024)
    app[STORE] = store
    app[FAULTS] = faults
    app.on_response_prepare.append(_name_the_server)
    return app
