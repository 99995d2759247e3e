"""``/serverconfig/misc``: reading and replacing the server's configuration, and what starts over then."""

from __future__ import annotations

import copy
from typing import Any

from aiohttp import web

from hoopjump.dev.gateway.certificates import StartError, new_host_key
from hoopjump.dev.gateway.identity import Caller
from hoopjump.dev.gateway.rest import STORE, answer, body_of, failure, guarded
from hoopjump.dev.gateway.ssh_server import SshServer

SSH_SERVER = web.AppKey("ssh_server", SshServer)

DEFAULT_GRPC_URL = "grpc://127.0.0.1:8010"
_SECTIONS = ("postgres_server_config", "ssh_server_config", "rdp_server_config", "http_proxy_server_config")


async def _get(request: web.Request, _caller: Caller) -> web.Response:
    return answer(request.app[STORE].misc)


def read_misc(body: dict[str, Any]) -> dict[str, Any] | str:
    """The new configuration, or what is wrong with it; CA lines and the host key are not looked at here."""
    url = body.get("grpc_server_url") or DEFAULT_GRPC_URL
    if not str(url).startswith(("grpc://", "grpcs://", "http://", "https://")):
        return "invalid attribute for 'grpc_server_url', it must start with 'grpc://', 'grpcs://', 'http://', or 'https://'"
    misc: dict[str, Any] = {"grpc_server_url": url}
    for name in _SECTIONS:
        section = body.get(name)
        misc[name] = None
        if not isinstance(section, dict):
            continue
        address = str(section.get("listen_address") or "")
        if address and ":" not in address:
            return "invalid attribute for 'listen_address', it must be in the format 'ip:port'"
        misc[name] = {"listen_address": address}
        if name == "ssh_server_config":
            fault = _read_ssh(section, misc[name])
            if fault:
                return fault
    return misc


def _read_ssh(section: dict[str, Any], into: dict[str, Any]) -> str | None:
    mapping = section.get("user_mapping")
    authorities = section.get("trusted_cas") or []
    if authorities:
        if not isinstance(mapping, dict):
            return "user_mapping is required when trusted_cas is configured"
        if mapping.get("cert_attr") not in ("principal", "key_id"):
            return f"invalid cert_attr \"{mapping.get('cert_attr', '')}\": must be 'principal' or 'key_id'"
        if mapping.get("user_attr") not in ("email", "subject", "user_id"):
            return f"invalid user_attr \"{mapping.get('user_attr', '')}\": must be 'email', 'subject', or 'user_id'"
    into["hosts_key"] = str(section.get("hosts_key") or "")
    into["trusted_cas"] = [str(line) for line in authorities]
    into["user_mapping"] = (
        {"cert_attr": mapping.get("cert_attr", ""), "user_attr": mapping.get("user_attr", "")}
        if isinstance(mapping, dict)
        else None
    )
    return None


async def _put(request: web.Request, _caller: Caller) -> web.Response:
    store, server = request.app[STORE], request.app[SSH_SERVER]
    misc = read_misc(await body_of(request))
    if isinstance(misc, str):
        return failure(400, misc)
    old = copy.deepcopy(store.misc["ssh_server_config"])
    new = misc["ssh_server_config"]
    # Compared with what is stored, not with what runs: a server that failed to start stays down on the same PUT.
    if not new or not new["listen_address"]:
        await server.stop()
    elif new != old:
        if not new["hosts_key"]:
            new["hosts_key"] = new_host_key()
        await server.stop()
        try:
            await server.start(new)
        except StartError as error:
            return failure(500, f"failed handling ssh server startup: {error}")
    store.misc = misc
    store.save()
    return answer(store.misc)


async def _get_auth(_request: web.Request, _caller: Caller) -> web.Response:
    return answer({"auth_method": "local", "admin_role_name": "admin", "auditor_role_name": "auditor"})


def add_routes(app: web.Application) -> None:
    """Add the routes of this module."""
    app.router.add_get("/api/serverconfig/misc", guarded(_get, "reader"))
    app.router.add_put("/api/serverconfig/misc", guarded(_put, "admin"))
    app.router.add_get("/api/serverconfig/auth", guarded(_get_auth, "reader"))
