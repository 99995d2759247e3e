"""What only the stand-in has: faults, and changes that the real API does not offer. For its admin key alone."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from hoopjump.dev.gateway import setup
from hoopjump.dev.gateway.identity import Caller, caller_of_user
from hoopjump.dev.gateway.rest import FAULTS, STORE, answer, body_of, empty, failure, guarded
from hoopjump.dev.gateway.reviews import moment_in


async def _faults(request: web.Request, _caller: Caller) -> web.Response:
    try:
        request.app[FAULTS].update(await body_of(request))
    except ValueError as error:
        return failure(400, str(error))
    return answer(asdict(request.app[FAULTS]))


async def _user(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    try:
        spec = setup.UserSpec(**await body_of(request))
    except TypeError as error:
        return failure(400, str(error))
    user = setup.put_user(store, spec)
    store.save()
    return answer({"user_id": user.user_id})


async def _change_user(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    wanted = request.match_info["user"]
    user = next((user for user in store.users if wanted in (user.subject, user.email)), None)
    if user is None:
        return failure(404, f"user {wanted} not found")
    for name, value in (await body_of(request)).items():
        if name not in ("email", "subject", "user_id", "status", "name", "groups"):
            return failure(400, f"unknown attribute {name!r}")
        setattr(user, name, value)
    store.save()
    return empty()


async def _role(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    try:
        spec = setup.RoleSpec(**await body_of(request))
    except TypeError as error:
        return failure(400, str(error))
    role = setup.put_role(store, spec)
    store.save()
    return answer({"id": role.id})


async def _session(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    user, role = store.user_by("email", str(body["email"])), store.role_named(str(body["role"]))
    if user is None or role is None:
        return failure(404, "no such user or role")
    row = caller_of_user(user).session(role, str(body["verb"]))
    row.end(int(body["exit_code"]))
    ago = int(body["ago"])
    row.start_date, row.end_date = (moment_in(-seconds) for seconds in (int(body["seconds"]) + ago, ago))
    row.correlation_id = body["correlation_id"]
    store.sessions.append(row)
    return answer({"id": row.id})


def add_routes(app: web.Application) -> None:
    """Add the routes of this module."""
    app.router.add_post("/dev/faults", guarded(_faults, "admin"))
    app.router.add_post("/dev/users", guarded(_user, "admin"))
    app.router.add_patch("/dev/users/{user}", guarded(_change_user, "admin"))
    app.router.add_post("/dev/roles", guarded(_role, "admin"))
    app.router.add_post("/dev/sessions", guarded(_session, "admin"))
