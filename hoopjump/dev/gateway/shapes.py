"""The JSON shapes of the API: which keys an answer has, and what stands in them."""

from __future__ import annotations

import base64
from typing import Any

from hoopjump.dev.gateway.model import ApiKey, Review, Role, Session, Store, User

Json = dict[str, Any]


def user(row: User) -> Json:
    """A user; ``id`` is the subject."""
    return {
        "id": row.subject,
        "name": row.name,
        "email": row.email,
        "status": row.status,
        "verified": True,
        "role": "admin" if "admin" in row.groups else "standard",
        "slack_id": row.slack_id,
        "picture": row.picture,
        "groups": list(row.groups),
    }


def api_key(store: Store, row: ApiKey) -> Json:
    """An API key without its value."""
    shape = {
        "id": row.id,
        "org_id": store.org_id,
        "name": row.name,
        "masked_key": row.masked,
        "status": row.status,
        "groups": list(row.groups),
        "created_by": row.created_by,
        "created_at": row.created_at,
    }
    if row.last_used_at:
        shape["last_used_at"] = row.last_used_at
    return shape


def role(row: Role, *, online: bool, with_secret: bool) -> Json:
    """A resource role as it stands in lists."""
    database = row.secret.get("envvar:DB", "")
    shape = {
        "id": row.id,
        "name": row.name,
        "command": list(row.command),
        "resource_name": row.name,
        "type": row.type,
        "subtype": row.subtype,
        "secret": dict(row.secret) if with_secret else {},
        "default_database": base64.b64decode(database).decode() if with_secret else "",
        "agent_id": row.agent_id,
        "status": "online" if online else "offline",
        "reviewers": list(row.reviewers),
        "redact_enabled": False,
        "redact_types": [],
        "managed_by": None,
        "tags": [],
        "connection_tags": dict(row.tags),
        "access_mode_runbooks": row.access_mode_runbooks,
        "access_mode_exec": row.access_mode_exec,
        "access_mode_connect": row.access_mode_connect,
        "access_schema": row.access_schema,
        "guardrail_rules": [],
        "jira_issue_template_id": "",
        "force_approve_groups": None,
        "access_max_duration": None,
        "min_review_approvals": None,
        "mandatory_metadata_fields": [],
        "attributes": list(row.attributes),
        "effective_features": None,
    }
    if with_secret and row.secrets_updated_at:
        shape["secrets_updated_at"] = row.secrets_updated_at
    return shape


def effective_features(row: Role, command_rule: Json | None, jit_rule: Json | None) -> Json:
    """What a single role's answer adds: which rules are in force."""
    return {
        "guardrails": False,
        "data_masking": False,
        "ai_session_analyzer": False,
        "jira_templates": False,
        "mandatory_metadata": False,
        "access_request": {
            "command": command_rule is not None,
            "jit": jit_rule is not None,
            "legacy_reviewers": bool(row.reviewers),
        },
    }


def review(row: Review, *, in_session: bool) -> Json:
    """A review, by itself or inside its session's row."""
    shape: Json = {
        "id": row.id,
        "session": row.session,
        "type": row.type,
        "access_duration": row.access_duration,
        "status": row.status,
        "revoke_at": row.revoke_at,
        "created_at": row.created_at,
        "review_groups_data": [dict(group) for group in row.groups],
        "time_window": row.time_window,
        "access_request_rule_name": row.rule_name,
        "min_approvals": row.min_approvals,
        "force_approval_groups": row.force_approval_groups,
    }
    if in_session:
        del shape["session"]
    if row.rejection_reason:
        shape["rejection_reason"] = row.rejection_reason
    return shape


def session(store: Store, row: Session, *, with_script: bool) -> Json:
    """A session row; lists leave the script out."""
    metrics = None
    if row.status == "done":
        metrics = {
            "data_masking": {"err_count": 0, "info_types": {}, "total_redact_count": 0, "transformed_bytes": 0},
            "event_size": row.event_size,
            "truncated": row.truncated,
        }
    return {
        "id": row.id,
        "org_id": store.org_id,
        "script": {"data": row.script} if with_script else None,
        "script_size": len(row.script),
        "labels": None,
        "integrations_metadata": None,
        "metadata": None,
        "metrics": metrics,
        "user": row.user,
        "user_id": row.user_id,
        "user_name": row.user_name,
        "type": row.type,
        "connection_subtype": row.subtype,
        "connection": row.connection,
        "resource_name": row.connection,
        "role_name": row.connection,
        "connection_tags": {},
        "review": review(row.review, in_session=True) if row.review else None,
        "verb": row.verb,
        "status": row.status,
        "exit_code": row.exit_code,
        "event_size": row.event_size,
        "start_date": row.start_date,
        "end_date": row.end_date,
        "ai_analysis": None,
        "guardrails_info": None,
        "identity_type": "user",
        **({"correlation_id": row.correlation_id} if row.correlation_id is not None else {}),
    }
