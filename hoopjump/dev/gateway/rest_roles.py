"""Resource roles ("connections"), access control, attributes, access-request rules, agents."""

from __future__ import annotations

import base64
import re
from typing import Any

from aiohttp import web

from hoopjump.dev.gateway import shapes
from hoopjump.dev.gateway.access import rule_for, visible
from hoopjump.dev.gateway.identity import Caller
from hoopjump.dev.gateway.model import Agent, Role, Store, new_id, now
from hoopjump.dev.gateway.rest import FAULTS, STORE, answer, body_of, empty, failure, guarded, sql_like

_NAME = re.compile(r"[A-Za-z0-9_.-]{3,254}\Z")
_REQUIRED = {
    "name": "Name",
    "type": "Type",
    "agent_id": "AgentId",
    "access_mode_runbooks": "AccessModeRunbooks",
    "access_mode_exec": "AccessModeExec",
    "access_mode_connect": "AccessModeConnect",
    "access_schema": "AccessSchema",
}
DEFAULT_COMMANDS = {
    "postgres": ["psql", "-v", "ON_ERROR_STOP=1", "-A", "-F\t", "-P", "pager=off", "-h", "$HOST", "-U", "$USER",
                 "--port=$PORT", "$DB"],
    "mysql": ["mysql", "-h$HOST", "-u$USER", "--port=$PORT", "-D$DB"],
}  # fmt: skip


def _shape(request: web.Request, role: Role, *, with_secret: bool = False) -> shapes.Json:
    return shapes.role(role, online=role.name not in request.app[FAULTS].agent_offline, with_secret=with_secret)


async def _list(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    rows = sorted((role for role in store.roles if visible(store, caller, role)), key=lambda role: role.name)
    query = request.query
    for attribute in ("type", "subtype", "name"):
        if query.get(attribute):
            pattern = sql_like(query[attribute])
            rows = [role for role in rows if pattern.match(getattr(role, attribute))]
    if query.get("agent_id"):
        rows = [role for role in rows if role.agent_id == query["agent_id"]]
    if query.get("attribute"):
        rows = [role for role in rows if query["attribute"] in role.attributes]
    if query.get("search"):
        rows = [role for role in rows if query["search"].lower() in f"{role.name} {role.type} {role.subtype}".lower()]
    if query.get("connection_ids"):
        wanted = query["connection_ids"].split(",")
        rows = [role for role in rows if role.id in wanted]
    if "page" not in query and "page_size" not in query:
        return answer([_shape(request, role) for role in rows])
    try:
        page, size = int(query.get("page", "1")), int(query.get("page_size", "50"))
    except ValueError:
        return failure(422, "invalid page or page_size")
    if page < 1 or not 1 <= size <= 100:
        return failure(422, "page_size must be between 1 and 100")
    data = [_shape(request, role) for role in rows[(page - 1) * size : page * size]]
    return answer({"pages": {"total": len(rows), "page": page, "size": size}, "data": data})


async def _get(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    role = store.role(request.match_info["role"])
    if role is None or not visible(store, caller, role):
        return failure(404, "not found")
    shape = _shape(request, role, with_secret=caller.is_admin)
    jit_rule = rule_for(store, role, "jit")
    if jit_rule and jit_rule["access_max_duration"] is not None:
        shape["jit_access_duration_sec"] = jit_rule["access_max_duration"]
    shape["effective_features"] = shapes.effective_features(role, rule_for(store, role, "command"), jit_rule)
    return answer(shape)


def _read(body: dict[str, Any], name: str) -> Role | str:
    missing = [
        f"Key: 'Connection.{go_name}' Error:Field validation for '{go_name}' failed on the 'required' tag"
        for key, go_name in _REQUIRED.items()
        if not body.get(key)
    ]
    if missing:
        return "\n".join(missing)
    subtype = str(body.get("subtype") or "")
    secret = {str(key): str(value) for key, value in (body.get("secret") or {}).items()}
    return Role(
        name=name,
        type=str(body["type"]),
        subtype=subtype,
        command=[str(word) for word in body.get("command") or DEFAULT_COMMANDS.get(subtype, [])],
        secret=secret,
        agent_id=str(body["agent_id"]),
        access_mode_runbooks=str(body["access_mode_runbooks"]),
        access_mode_exec=str(body["access_mode_exec"]),
        access_mode_connect=str(body["access_mode_connect"]),
        access_schema=str(body["access_schema"]),
        attributes=[str(each) for each in body.get("attributes") or ()],
        reviewers=[str(each) for each in body.get("reviewers") or ()],
        tags={str(key): str(value) for key, value in (body.get("connection_tags") or {}).items()},
        secrets_updated_at=now() if secret else None,
    )


async def _post(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    role = _read(body, str(body.get("name", "")))
    if isinstance(role, str):
        return failure(400, role)
    if not _NAME.match(role.name):
        text = "it must contain between 3 and 254 alphanumeric characters, it may include (-), (_) or (.) characters"
        return failure(422, f"name: {text}")
    if store.role_named(role.name):
        return failure(409, "Connection already exists.")
    try:
        for value in role.secret.values():
            base64.b64decode(value, validate=True)
    except ValueError:
        return failure(422, "secret: values must be base64")
    store.roles.append(role)
    store.save()
    return answer({**_shape(request, role, with_secret=True), "attributes": body.get("attributes")}, 201)


async def _put(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    old = store.role(request.match_info["role"])
    if old is None:
        return failure(404, "not found")
    body = await body_of(request)
    role = _read({**body, "name": old.name}, old.name)
    if isinstance(role, str):
        return failure(400, role)
    role.id = old.id
    store.roles[store.roles.index(old)] = role
    store.save()
    return answer(_shape(request, role, with_secret=True))


async def _delete(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    role = store.role_named(request.match_info["role"])
    if role is None:
        return failure(404, "not found")
    store.roles.remove(role)
    store.save()
    return empty()


async def _list_plugins(request: web.Request, _caller: Caller) -> web.Response:
    return answer(request.app[STORE].plugins)


async def _get_plugin(request: web.Request, _caller: Caller) -> web.Response:
    found = [plugin for plugin in request.app[STORE].plugins if plugin["name"] == request.match_info["plugin"]]
    return answer(found[0]) if found else failure(404, "plugin not found")


def put_plugin(store: Store, name: str, connections: list[dict[str, Any]]) -> dict[str, Any]:
    """Switch a plugin on, or replace its configuration."""
    entries = []
    for entry in connections:
        role = store.role(str(entry.get("id", "")))
        if role:
            entries.append({"id": role.id, "name": role.name, "config": entry.get("config")})
    plugin = next((plugin for plugin in store.plugins if plugin["name"] == name), None)
    if plugin is None:
        plugin = {"id": new_id(), "name": name, "connections": entries, "config": None, "source": None, "priority": 0}
        store.plugins.append(plugin)
    plugin["connections"] = entries
    return plugin


async def _post_plugin(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    name = request.match_info.get("plugin") or str(body.get("name", ""))
    if request.method == "POST" and any(plugin["name"] == name for plugin in store.plugins):
        return failure(409, "plugin already enabled")
    plugin = put_plugin(store, name, body.get("connections") or [])
    store.save()
    return answer(plugin, 201 if request.method == "POST" else 200)


async def _list_attributes(request: web.Request, _caller: Caller) -> web.Response:
    attributes = request.app[STORE].attributes
    return answer({"pages": {"total": len(attributes), "page": 1, "size": len(attributes)}, "data": attributes})


async def _post_attribute(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    name = str(body.get("name", ""))
    if any(attribute["name"] == name for attribute in store.attributes):
        return failure(409, "attribute already exists")
    store.attributes.append(new_attribute(name, body))
    store.save()
    return answer(store.attributes[-1], 201)


def new_attribute(name: str, body: dict[str, Any]) -> dict[str, Any]:
    """An attribute row."""
    lists = ("connection_names", "access_control_group_names", "access_request_rule_names")
    return {"id": new_id(), "name": name, "description": body.get("description")} | {
        key: [str(each) for each in body.get(key) or ()] for key in lists
    }


def new_rule(body: dict[str, Any]) -> dict[str, Any]:
    """An access-request rule as the gateway shows it."""
    moment = now()
    return {
        "id": new_id(),
        "name": str(body.get("name", "")),
        "description": body.get("description"),
        "access_type": str(body.get("access_type", "")),
        "connection_names": list(body.get("connection_names") or ()),
        "attributes": list(body.get("attributes") or ()),
        "approval_required_groups": list(body.get("approval_required_groups") or ()),
        "all_groups_must_approve": bool(body.get("all_groups_must_approve")),
        "reviewers_groups": list(body.get("reviewers_groups") or ()),
        "force_approval_groups": list(body.get("force_approval_groups") or ()),
        "skip_review_groups": body.get("skip_review_groups"),
        "access_max_duration": body.get("access_max_duration"),
        "min_approvals": body.get("min_approvals"),
        "managed_by": None,
        "created_at": moment,
        "updated_at": moment,
    }


async def _post_rule(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    if store.rules:
        return failure(403, "only one access request rule is allowed without an enterprise license")
    store.rules.append(new_rule(await body_of(request)))
    store.save()
    return answer(store.rules[-1], 201)


async def _list_rules(request: web.Request, _caller: Caller) -> web.Response:
    rules = request.app[STORE].rules
    return answer({"pages": {"total": len(rules), "page": 1, "size": len(rules)}, "data": rules})


async def _list_agents(request: web.Request, _caller: Caller) -> web.Response:
    rows = request.app[STORE].agents
    return answer([{"id": row.id, "name": row.name, "mode": "standard", "status": row.status} for row in rows])


async def _post_agent(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    name = str((await body_of(request)).get("name", ""))
    if any(agent.name == name for agent in store.agents):
        return failure(409, f"agent {name} already exists")
    store.agents.append(Agent(name))
    store.save()
    return answer({"token": f"grpc://{name}:xagt-unused@127.0.0.1:8010?mode=standard"}, 201)


def add_routes(app: web.Application) -> None:
    """Add the routes of this module."""
    app.router.add_get("/api/connections", guarded(_list))
    app.router.add_post("/api/connections", guarded(_post, "admin"))
    app.router.add_get("/api/connections/{role}", guarded(_get))
    app.router.add_put("/api/connections/{role}", guarded(_put, "admin"))
    app.router.add_delete("/api/connections/{role}", guarded(_delete, "admin"))
    app.router.add_get("/api/plugins", guarded(_list_plugins))
    app.router.add_post("/api/plugins", guarded(_post_plugin, "admin"))
    app.router.add_get("/api/plugins/{plugin}", guarded(_get_plugin))
    app.router.add_put("/api/plugins/{plugin}", guarded(_post_plugin, "admin"))
    app.router.add_get("/api/attributes", guarded(_list_attributes))
    app.router.add_post("/api/attributes", guarded(_post_attribute, "admin"))
    app.router.add_get("/api/access-requests/rules", guarded(_list_rules, "reader"))
    app.router.add_post("/api/access-requests/rules", guarded(_post_rule, "admin"))
    app.router.add_get("/api/agents", guarded(_list_agents))
    app.router.add_post("/api/agents", guarded(_post_agent, "admin"))
