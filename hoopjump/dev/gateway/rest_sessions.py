"""Session rows, running scripts, killing, and reviews over REST."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from hoopjump.dev.gateway import reviews, shapes
from hoopjump.dev.gateway.access import rule_for, visible
from hoopjump.dev.gateway.identity import Caller, caller_of_user
from hoopjump.dev.gateway.model import Review, Role, Session, now
from hoopjump.dev.gateway.rest import STORE, answer, body_of, empty, failure, guarded, sql_like
from hoopjump.dev.gateway.roles_command import agent_code, command_of, run_once
from hoopjump.dev.gateway.targets import environment_of

_BARE = "application/json"


def _may_read(caller: Caller, row: Session) -> bool:
    if caller.sees_all_roles() or row.user_id == caller.subject:
        return True
    return row.review is not None and any(group["group"] in caller.groups for group in row.review.groups)


async def _list(request: web.Request, caller: Caller) -> web.Response:
    store, query = request.app[STORE], request.query
    rows = [row for row in reversed(store.sessions) if _may_read(caller, row)]
    for name, column in (("user", "user_id"), ("connection", "connection"), ("type", "type")):
        if name in query:
            pattern = sql_like(query[name])
            rows = [row for row in rows if pattern.match(getattr(row, column))]
    if "review.status" in query:
        rows = [row for row in rows if row.review and row.review.status == query["review.status"]]
    if "correlation_id" in query:
        rows = [row for row in rows if row.correlation_id == query["correlation_id"]]
    if "start_date" in query:
        rows = [row for row in rows if row.start_date >= query["start_date"]]
    if "end_date" in query:
        rows = [row for row in rows if row.start_date <= query["end_date"]]
    try:
        limit, offset = int(query.get("limit", "20")), int(query.get("offset", "0"))
    except ValueError:
        return failure(422, "invalid limit or offset")
    if not 0 <= offset <= 10_000:
        return failure(422, "offset must be between 0 and 10000")
    limit = max(1, min(limit, 100))
    page = rows[offset : offset + limit]
    return answer(
        {
            "data": [shapes.session(store, row, with_script=False) for row in page],
            "total": None if query.get("count") == "none" else len(rows),
            "total_is_capped": False,
            "has_next_page": len(rows) > offset + limit,
        }
    )


async def _get(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    row = store.session(request.match_info["session"])
    if row is None:
        return failure(404, "not found")
    if not _may_read(caller, row):
        return failure(403, "user is not allowed to access this session")
    shape = shapes.session(store, row, with_script=True)
    if request.query.get("expand") == "event_stream":
        shape["event_stream"] = [list(event) for event in row.events]
    return answer(shape, content_type=_BARE)


async def _kill(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    row = store.session(request.match_info["session"])
    if row is None or not (caller.is_admin or row.user_id == caller.subject):
        return failure(404, "session not found")
    cut = store.live.pop(row.id, None)
    if row.status == "done":
        row.end_date = now()
    elif cut is None:
        row.end(254)
    else:
        row.end(254)
        cut()
    return empty()


async def _post(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    role = store.role_named(str(body.get("connection", "")))
    if role is None or not visible(store, caller, role):
        return failure(404, "not found")
    row = caller.session(role, "exec", str(body.get("script", "")))
    store.sessions.append(row)
    if role.access_mode_exec == "disabled":
        return failure(400, "exec is disabled for this connection")
    rule = rule_for(store, role, "command")
    if rule is not None:
        reviews.open_review(row, rule, "onetime")
        return _waiting(request, row)
    return answer(await _run(role, row))


async def _exec(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    row = store.session(request.match_info["session"])
    role = store.role_named(row.connection) if row else None
    if row is None or role is None or not visible(store, caller, role):
        return failure(404, "session not found")
    approved = row.review is None or row.review.status == "APPROVED"
    if row.review is not None:
        # Also the script that nobody has approved yet is spent by this.
        row.review.status = "EXECUTED"
    return answer(await _run(role, row)) if approved else _waiting(request, row)


def _waiting(request: web.Request, row: Session) -> web.Response:
    return answer(
        {
            "has_review": True,
            "session_id": row.id,
            "output": f"{request.url.origin()}/sessions/{row.id}",
            "output_status": "success",
            "truncated": False,
            "execution_time": 1,
            "exit_code": 0,
            "ai_analysis": None,
        }
    )


async def _run(role: Role, row: Session) -> dict[str, Any]:
    started = time.monotonic()
    environment = environment_of(role, row)
    process = await run_once(command_of(role, environment), environment)
    out, err = await process.communicate(row.script.encode())
    status = agent_code(process.returncode)
    row.end(status)
    row.event_size = len(out) + len(err)
    output = (out + err).decode("utf-8", "replace")
    return {
        "has_review": False,
        "session_id": row.id,
        "output": output + (f"exit status {status}" if status else ""),
        "output_status": "failed" if status else "success",
        "truncated": False,
        "execution_time": round((time.monotonic() - started) * 1000),
        "exit_code": status,
        "ai_analysis": None,
    }


async def _provision(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    if not caller.is_key:
        return failure(403, "access denied")
    role = store.role_named(str(body.get("connection", "")))
    user = store.user_by("email", str(body.get("user_email", "")))
    if role is None or user is None or not visible(store, caller, role):
        return failure(404, "not found")
    script = str(body.get("script", ""))
    seconds = int(body.get("access_duration_sec") or 0)
    row = caller_of_user(user).session(role, "exec" if script and not seconds else "connect", script)
    row.status = "ready"
    row.review = reviews.provisioned(row, caller, seconds)
    store.sessions.append(row)
    return answer({"session_id": row.id, "user_email": user.email, "has_review": False}, 202)


async def _credentials(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    role = store.role(request.match_info["role"])
    if role is None or not visible(store, caller, role):
        return failure(404, "not found")
    if caller.is_key:
        return failure(500, "internal server error")
    rule = rule_for(store, role, "jit")
    seconds = int(body.get("access_duration_seconds") or 0)
    if role.type == "custom" or rule is None:
        return failure(400, "connection type not supported")
    row = caller.session(role, "connect")
    store.sessions.append(row)
    reviews.open_review(row, rule, "jit", seconds)
    if row.review is None:
        return failure(400, "access duration exceeds the maximum of the rule")
    return answer(
        {
            "id": "",
            "connection_name": role.name,
            "connection_type": role.type,
            "connection_subtype": role.subtype,
            "session_id": row.id,
            "has_review": True,
            "review_id": row.review.id,
            "expire_at": reviews.moment_in(seconds),
            "created_at": now(),
        },
        202,
    )


async def _list_reviews(request: web.Request, _caller: Caller) -> web.Response:
    found: list[Review] = [row.review for row in request.app[STORE].sessions if row.review is not None]
    return answer([shapes.review(review, in_session=False) for review in reversed(found)])


async def _get_review(request: web.Request, _caller: Caller) -> web.Response:
    found = reviews.find(request.app[STORE], request.match_info["review"])
    return answer(shapes.review(found[1], in_session=False)) if found else failure(404, "not found")


async def _put_review(request: web.Request, caller: Caller) -> web.Response:
    found = reviews.find(request.app[STORE], request.match_info["review"])
    body = await body_of(request)
    if found is None:
        return failure(500, "internal server error")
    row, review = found
    try:
        reviews.change(row, review, caller, body)
    except reviews.ReviewError as error:
        return failure(error.status, str(error))
    return answer(shapes.review(review, in_session=False))


def add_routes(app: web.Application) -> None:
    """Add the routes of this module."""
    app.router.add_get("/api/sessions", guarded(_list))
    app.router.add_post("/api/sessions", guarded(_post, "not-auditor"))
    app.router.add_post("/api/sessions/provision", guarded(_provision, "not-auditor"))
    app.router.add_get("/api/sessions/{session}", guarded(_get))
    app.router.add_post("/api/sessions/{session}/kill", guarded(_kill, "not-auditor"))
    app.router.add_post("/api/sessions/{session}/exec", guarded(_exec, "not-auditor"))
    app.router.add_put("/api/sessions/{review}/review", guarded(_put_review, "not-auditor"))
    app.router.add_post("/api/connections/{role}/credentials", guarded(_credentials, "not-auditor"))
    app.router.add_get("/api/reviews", guarded(_list_reviews))
    app.router.add_get("/api/reviews/{review}", guarded(_get_review))
    app.router.add_put("/api/reviews/{review}", guarded(_put_review, "not-auditor"))
