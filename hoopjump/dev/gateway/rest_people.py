"""Users, API keys, local authentication, and what the server says about itself."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from hoopjump.dev.gateway import shapes
from hoopjump.dev.gateway.identity import Caller, issue_token
from hoopjump.dev.gateway.model import Store, User, hash_password
from hoopjump.dev.gateway.rest import (
    STORE,
    VERSION,
    answer,
    body_of,
    empty,
    failure,
    guarded,
    unknown_route,
)

# Go's mail.ParseAddress, near enough: an addr-spec (RFC 5322 3.4.1, quoted local part and domain literal included),
# by itself or in angle brackets after a display name; it wants no dot in the domain.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_DOTTED = rf"{_ATEXT}(?:\.{_ATEXT})*"
_SPEC = rf"(?:{_DOTTED}|\"(?:[^\"\\\r\n]|\\.)*\")@(?:{_DOTTED}|\[[^\[\]\\\r\n]*\])"
_MAILBOX = re.compile(rf"[ \t]*(?:{_SPEC}|(?:[^<>@,;:\"]*|\"[^\"]*\"[ \t]*)<{_SPEC}>)[ \t]*\Z")


def is_mailbox(value: str) -> bool:
    """Whether the gateway takes a value for an e-mail address rather than a subject."""
    return _MAILBOX.match(value) is not None


def _find(store: Store, value: str) -> User | None:
    if is_mailbox(value):
        # REST does not rank by status: the lowest internal id wins.
        found = sorted((user for user in store.users if user.email == value), key=lambda user: user.user_id)
        return found[0] if found else None
    return next((user for user in store.users if user.subject == value), None)


async def _list_users(request: web.Request, _caller: Caller) -> web.Response:
    rows = sorted(request.app[STORE].users, key=lambda user: user.email, reverse=True)
    return answer([shapes.user(row) for row in rows])


async def _get_user(request: web.Request, _caller: Caller) -> web.Response:
    value = request.match_info["user"]
    if "/" in value:
        return unknown_route()
    user = _find(request.app[STORE], value)
    return answer(shapes.user(user)) if user else failure(404, f"user {value} not found")


async def _list_groups(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    return answer(sorted({group for user in store.users for group in user.groups} | {"admin", "auditor"}))


async def _post_user(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    email = str(body.get("email", ""))
    if not is_mailbox(email):
        return failure(422, "invalid email")
    if any(user.email == email for user in store.users):
        return failure(409, f"user already exists with email {email}")
    password = str(body.get("password", ""))
    user = User(
        email=email,
        subject=email,
        name=str(body.get("name", "")),
        groups=[str(group) for group in body.get("groups") or ()],
        password=hash_password(password) if password else "",
        slack_id=str(body.get("slack_id", "")),
        picture=str(body.get("picture", "")),
    )
    store.users.append(user)
    store.save()
    # The one answer with the internal id in it; role is empty and the password comes back.
    return answer({**shapes.user(user), "id": user.user_id, "role": "", "password": password}, 201)


async def _put_user(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    value = request.match_info["user"]
    user = _find(store, value)
    if user is None:
        return failure(404, f"user {value} not found")
    body = await body_of(request)
    groups = [str(group) for group in body.get("groups") or ()]
    status = str(body.get("status", ""))
    if user.subject == caller.subject:
        if "admin" not in groups:
            groups.append("admin")
        if status != "active":
            return failure(422, "cannot deactivate yourself")
    user.name = str(body.get("name", ""))
    user.picture = str(body.get("picture", ""))
    user.slack_id = str(body.get("slack_id", ""))
    user.status = status
    user.groups = groups
    store.save()
    return answer(shapes.user(user))


async def _delete_user(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    value = request.match_info["user"]
    user = _find(store, value)
    if user is None:
        return failure(404, f"user {value} not found")
    if user.subject == caller.subject:
        return failure(422, "cannot delete yourself")
    store.users.remove(user)
    store.save()
    return empty()


async def _userinfo(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    user = next((user for user in store.users if user.subject == caller.subject), None)
    return answer(
        {
            "id": caller.subject,
            "name": caller.name,
            "email": caller.email,
            "status": "active",
            "verified": True,
            "role": "admin" if caller.is_admin else "standard",
            "slack_id": user.slack_id if user else "",
            "picture": user.picture if user else "",
            "groups": list(caller.groups),
            "is_admin": caller.is_admin,
            "is_multitenant": False,
            "tenancy_type": "selfhosted",
            "org_id": store.org_id,
            "org_name": "default",
            "org_license": "",
            "feature_ask_ai": "unavailable",
            "webapp_users_management": "on",
            "intercom_hmac_digest": "",
            "default_protection_profile": None,
            "show_origin_survey": not caller.is_key,
            "show_setup_checklist": caller.is_admin,
        }
    )


async def _list_keys(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    return answer([shapes.api_key(store, row) for row in store.api_keys])


async def _post_key(request: web.Request, caller: Caller) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    name = str(body.get("name", ""))
    if not name:
        return failure(
            400, "Key: 'APIKeyCreateRequest.Name' Error:Field validation for 'Name' failed on the 'required' tag"
        )
    if any(key.name == name for key in store.api_keys):
        return failure(409, f"api key with name {name} already exists")
    key, value = store.add_api_key(name, [str(group) for group in body.get("groups") or ()], caller.email)
    store.save()
    return answer({**shapes.api_key(store, key), "key": value}, 201)


async def _delete_key(request: web.Request, _caller: Caller) -> web.Response:
    store = request.app[STORE]
    wanted = request.match_info["key"]
    key = next((key for key in store.api_keys if wanted in (key.id, key.name)), None)
    if key is None:
        return failure(404, "api key not found")
    key.status = "revoked"
    store.save()
    return empty()


async def _login(request: web.Request) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    user = _find(store, str(body.get("email", "")))
    if user is None:
        return failure(404, "user not found")
    if not user.password_is(str(body.get("password", ""))):
        return failure(401, "invalid credentials")
    response = answer({"status": "ok"})
    response.headers["Token"] = issue_token(store, user)
    return response


async def _register(request: web.Request) -> web.Response:
    store = request.app[STORE]
    body = await body_of(request)
    email = str(body.get("email", ""))
    if any(user.email == email for user in store.users):
        return failure(409, "user already exists")
    if store.users:
        return failure(
            403, "unable to register new users, the default organization already has users. Contact your administrator"
        )
    user = User(
        email=email,
        subject=email,
        name=str(body.get("name", "")),
        groups=["admin"],
        password=hash_password(str(body.get("password", ""))),
    )
    store.users.append(user)
    store.save()
    response = answer({"message": "User created successfully"}, 201)
    response.headers["Token"] = issue_token(store, user)
    return response


async def _public_info(request: web.Request) -> web.Response:
    return answer({"auth_method": "local", "setup_required": not request.app[STORE].users})


async def _health(_request: web.Request) -> web.Response:
    return answer({"liveness": "OK"})


async def _server_info(request: web.Request, _caller: Caller) -> web.Response:
    info: dict[str, Any] = {
        "version": VERSION,
        "commit_sha": "dev",
        "log_level": "info",
        "go_debug": "",
        "auth_method": "local",
        "redact_provider": "",
        "api_url": str(request.url.origin()),
        "grpc_url": request.app[STORE].misc["grpc_server_url"],
        "tenancy_type": "selfhosted",
        "license_info": {
            "key_id": "",
            "allowed_hosts": ["*"],
            "type": "oss",
            "issued_at": 0,
            "expire_at": 4102444800,
            "is_valid": True,
            "status": "valid",
            "verify_error": "",
            "verified_host": "127.0.0.1",
            "features": [],
        },
        "idp_provider_name": "unknown",
        "analytics_tracking": "disabled",
        "analytics_mode": "anonymous",
        "feature_flags": {},
    }
    absent = "has_redact_credentials has_webhook_app_key has_idp_audience has_idp_custom_scopes has_ask_ai_credentials "
    absent += "has_ssh_client_host_key postgres_proxy_enabled disable_sessions_download disable_clipboard_copy_cut"
    return answer(info | dict.fromkeys(absent.split(), False))


def add_routes(app: web.Application) -> None:
    """Add the routes of this module."""
    app.router.add_get("/api/users", guarded(_list_users))
    app.router.add_post("/api/users", guarded(_post_user, "admin"))
    app.router.add_get("/api/users/groups", guarded(_list_groups))
    app.router.add_get("/api/users/{user}", guarded(_get_user))
    app.router.add_put("/api/users/{user}", guarded(_put_user, "admin"))
    app.router.add_delete("/api/users/{user}", guarded(_delete_user, "admin"))
    app.router.add_get("/api/userinfo", guarded(_userinfo))
    app.router.add_get("/api/api-keys", guarded(_list_keys, "admin"))
    app.router.add_post("/api/api-keys", guarded(_post_key, "admin"))
    app.router.add_delete("/api/api-keys/{key}", guarded(_delete_key, "admin"))
    app.router.add_post("/api/localauth/login", _login)
    app.router.add_post("/api/localauth/register", _register)
    app.router.add_get("/api/publicserverinfo", _public_info)
    app.router.add_get("/api/healthz", _health)
    app.router.add_get("/api/serverinfo", guarded(_server_info))
