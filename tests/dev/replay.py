"""Comparing our answers with recorded ones of a real gateway: everything equal but what cannot be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import requests

TRANSCRIPTS = Path(__file__).parent / "transcripts"

# Their values differ from run to run; only the type is compared.
VOLATILE = {
    "id", "org_id", "agent_id", "session", "session_id", "review_id", "key", "masked_key", "created_at",
    "updated_at", "last_used_at", "secrets_updated_at", "start_date", "end_date", "expire_at", "review_date",
    "revoke_at", "event_size", "execution_time", "hosts_key", "intercom_hmac_digest", "event_stream", "api_url",
    "grpc_url", "grpc_server_url", "version", "commit_sha", "license_info", "feature_flags", "idp_provider_name",
    "analytics_tracking", "analytics_mode", "log_level",
}  # fmt: skip

_SESSION_PAGE = re.compile(r"http://127\.0\.0\.1:\d+/sessions/[0-9a-f-]{36}")


def transcript(name: str) -> dict[str, Any]:
    """A recorded exchange: ``request`` and ``response``."""
    data: dict[str, Any] = json.loads((TRANSCRIPTS / f"{name}.json").read_text())
    return data


def differences(recorded: object, ours: object, place: str = "") -> list[str]:
    """Where two JSON values differ in keys, types, or values that should be equal."""
    name = place.rpartition(".")[2].split("[")[0]
    if isinstance(recorded, dict) and isinstance(ours, dict):
        if name in VOLATILE:
            return []
        found = [f"{place}.{key}: missing" for key in recorded.keys() - ours.keys()]
        found += [f"{place}.{key}: not in the recording" for key in ours.keys() - recorded.keys()]
        for key in recorded.keys() & ours.keys():
            found += differences(recorded[key], ours[key], f"{place}.{key}")
        return found
    if isinstance(recorded, list) and isinstance(ours, list):
        if name in VOLATILE:
            return []
        if len(recorded) != len(ours):
            return [f"{place}: {len(recorded)} elements recorded, {len(ours)} here"]
        return [each for pair in enumerate(zip(recorded, ours, strict=True)) for each in _element(place, pair)]
    if name in VOLATILE and type(recorded) is type(ours):
        return []
    if isinstance(recorded, str) and "REDACTED" in recorded and isinstance(ours, str):
        return []
    if isinstance(recorded, str) and isinstance(ours, str) and _SESSION_PAGE.fullmatch(recorded):
        return [] if _SESSION_PAGE.fullmatch(ours) else [f"{place}: {ours!r} is no session's page"]
    return [] if recorded == ours else [f"{place}: recorded {recorded!r}, here {ours!r}"]


def _element(place: str, pair: tuple[int, tuple[object, object]]) -> list[str]:
    index, (recorded, ours) = pair
    return differences(recorded, ours, f"{place}[{index}]")


def compare(name: str, response: requests.Response) -> None:
    """Assert that a response is as recorded: status, content type, server, body."""
    recorded = transcript(name)["response"]
    assert response.status_code == recorded["status"], response.text
    assert response.headers["Content-Type"] == recorded["headers"]["Content-Type"]
    assert re.fullmatch(r"hoopgateway/0\.0\.0-\w+", response.headers["Server"])
    assert ("Token" in response.headers) == ("Token" in recorded["headers"])
    body = recorded["body"]
    if isinstance(body, str) or body is None:
        assert response.text == (body or "")
    else:
        found = differences(body, response.json())
        assert not found, found
