"""Which resource roles somebody sees, what protocol they speak, and which access-request rule holds for them."""

from __future__ import annotations

from typing import Any

from hoopjump.dev.gateway.identity import Caller
from hoopjump.dev.gateway.model import Role, Store

_DATABASES = {"postgres", "mysql", "mssql", "mongodb", "oracledb"}
_APPLICATIONS = {
    "ssh": "ssh",
    "ssh-local": "ssh",
    "git": "ssh",
    "github": "ssh",
    "tcp": "tcp",
    "httpproxy": "httpproxy",
    "kibana": "httpproxy",
    "grafana": "httpproxy",
    "mcpproxy": "mcpproxy",
}
_CUSTOM = {
    "dynamodb": "dynamodb",
    "cloudwatch": "cloudwatch",
    "rdp": "rdp",
    "aws-ssm": "aws-ssm",
    "mcpproxy": "mcpproxy",
    "kubernetes": "kubernetes",
    "kubernetes-eks": "kubernetes",
    "httpproxy": "httpproxy",
    "kubernetes-token": "httpproxy",
}


def protocol(role: Role) -> str:
    """The protocol of a role's type and subtype: ``command-line``, ``ssh``, ``postgres``, ``mysql``, ..."""
    match role.type:
        case "database" if role.subtype in _DATABASES:
            return role.subtype
        case "application":
            return _APPLICATIONS.get(role.subtype, "command-line")
        case "custom":
            return _CUSTOM.get(role.subtype, "command-line")
        case "httpproxy":
            return "mcpproxy" if role.subtype == "mcpproxy" else "httpproxy"
        case _:
            return role.type


def visible(store: Store, caller: Caller, role: Role) -> bool:
    """Access control: with the plugin on, a role needs a group in common, directly or through an attribute."""
    plugin = next((each for each in store.plugins if each["name"] == "access_control"), None)
    if plugin is None or caller.sees_all_roles():
        return True
    groups = set(caller.groups)
    for entry in plugin["connections"]:
        if entry["id"] == role.id and groups & set(entry["config"] or ()):
            return True
    return any(
        attribute["name"] in role.attributes and groups & set(attribute.get("access_control_group_names") or ())
        for attribute in store.attributes
    )


def rule_for(store: Store, role: Role, kind: str) -> dict[str, Any] | None:
    """The access-request rule of a role for ``jit`` or ``command``."""
    for rule in store.rules:
        if rule["access_type"] not in (kind, "jit_command"):
            continue
        if role.name in rule["connection_names"] or set(rule["attributes"]) & set(role.attributes):
            return rule
    return None
