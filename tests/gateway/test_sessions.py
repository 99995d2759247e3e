"""Exit statuses and the five-minute notice, from session rows."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hoopjump.decision.session import Role
from hoopjump.decision.values import User
from hoopjump.gateway.client import GatewayClient
from hoopjump.gateway.sessions import FIVE_MINUTES, Sessions
from tests.gateway.replay import Replay, body

ALICE = User("alice@x.io", "alice@x.io", "active", ("dev",))
LIVEBASH = Role("livebash", "custom")


def moment(seconds: float) -> str:
    """Unix seconds as the gateway writes them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def row(start: float, end: float | None, exit_code: int | None = 7, **fields: Any) -> dict[str, Any]:
    """A row of the list, recorded but for its times."""
    return {
        **body("sessions_list_live")["data"][0],
        "verb": "exec",
        "start_date": moment(start),
        "end_date": None if end is None else moment(end),
        "status": "open" if end is None else "done",
        "exit_code": exit_code,
        **fields,
    }


def rows(gateway: Replay, *data: dict[str, Any], more: bool = False) -> None:
    """The gateway's list of sessions."""
    gateway.answer("/api/sessions", {"data": list(data), "total": None, "has_next_page": more})


def status(client: GatewayClient, started: float) -> int | None:
    """Ask for Alice's command that began then."""
    return Sessions(client).exit_status(ALICE, LIVEBASH, "exec", started)


def test_exit_status_comes_from_the_row(gateway: Replay, client: GatewayClient) -> None:
    """The gateway's SSH server lost it, its row has it."""
    now = time.time()
    rows(gateway, row(now - 0.5, now - 0.1))
    assert status(client, now - 0.6) == 7


def test_row_is_asked_for_by_patterns_and_whole_seconds(gateway: Replay, client: GatewayClient) -> None:
    """The filters are LIKE patterns, and without an end date the current second is left out."""
    now = time.time()
    rows(gateway)
    user = User("a_b", "a@x.io", "active")
    Sessions(client).exit_status(user, Role("my_bash", "custom"), "exec", now)
    query = parse_qs(urlsplit(gateway.paths()[0]).query)
    assert (query["user"], query["connection"]) == ([r"a\_b"], [r"my\_bash"])
    start, end = (datetime.fromisoformat(query[name][0]).timestamp() for name in ("start_date", "end_date"))
    assert start <= now - 1 < now + 1 <= end


def test_unfinished_row_is_waited_for(gateway: Replay, client: GatewayClient) -> None:
    """The row is done a moment after the session."""
    now = time.time()
    rows(gateway, row(now - 0.5, now, 3))
    done = gateway.routes["/api/sessions"]
    rows(gateway, row(now - 0.5, None, None))
    unfinished = gateway.routes["/api/sessions"]
    calls: list[int] = []

    def soon(handler: BaseHTTPRequestHandler) -> None:
        calls.append(1)
        (done if len(calls) > 2 else unfinished)(handler)

    gateway.routes["/api/sessions"] = soon
    assert status(client, now - 0.6) == 3
    assert len(calls) == 3


def test_row_that_stays_open_is_no_answer(gateway: Replay, client: GatewayClient) -> None:
    """A crash of the gateway leaves rows open for ever."""
    now = time.time()
    rows(gateway, row(now - 0.5, None, None))
    assert status(client, now - 0.6) is None


def test_two_rows_that_fit_are_no_answer(gateway: Replay, client: GatewayClient) -> None:
    """Of two sessions at once nobody can say whose status is whose."""
    now = time.time()
    rows(gateway, row(now - 0.5, now - 0.1, 0), row(now - 0.4, now - 0.1, 1))
    assert status(client, now - 0.6) is None


def test_row_with_our_mark_is_found_among_others(gateway: Replay, client: GatewayClient) -> None:
    """Of commands at once each has its own; and whose session has no mark, is not told a marked one's status."""
    now = time.time()
    marked = [row(now - 0.5, now - 0.1, code, correlation_id=f"hoopjump-{code}") for code in (3, 4)]
    rows(gateway, *marked, row(now - 0.4, now - 0.1, 5))
    ask = Sessions(client).exit_status
    assert ask(ALICE, LIVEBASH, "exec", now - 0.6, "hoopjump-4") == 4
    assert parse_qs(urlsplit(gateway.paths()[0]).query)["correlation_id"] == ["hoopjump-4"]
    assert ask(ALICE, LIVEBASH, "exec", now - 0.6, "hoopjump-6") is None
    assert status(client, now - 0.6) == 5


@pytest.mark.parametrize(
    "fields",
    [{"user_id": "ALICE@x.io"}, {"connection": "liveBash"}, {"verb": "connect"}],
    ids=["user", "role", "verb"],
)
def test_row_of_something_else_is_no_answer(gateway: Replay, client: GatewayClient, fields: dict[str, Any]) -> None:
    """Equality is checked again: user, role and verb."""
    now = time.time()
    rows(gateway, row(now - 0.5, now - 0.1, **fields))
    assert status(client, now - 0.6) is None


def test_session_before_this_one_is_not_taken_for_it(gateway: Replay, client: GatewayClient) -> None:
    """A script's last command, half a second ago, has a status of its own."""
    now = time.time()
    rows(gateway, row(now - 0.9, now - 0.7, 1), row(now - 0.2, now - 0.1, 0))
    assert status(client, now - 0.3) == 0


def test_session_that_ended_long_ago_does_not_confuse_a_long_one(gateway: Replay, client: GatewayClient) -> None:
    """While a command runs for an hour, others come and go."""
    now = time.time()
    rows(gateway, row(now - 3600, now - 0.1, 5), row(now - 1800, now - 1790, 0))
    assert status(client, now - 3600.1) == 5


def test_command_that_a_signal_ended_has_the_status_that_ssh_gives(gateway: Replay, client: GatewayClient) -> None:
    """The row says -1."""
    now = time.time()
    rows(gateway, row(now - 0.5, now - 0.1, -1))
    assert status(client, now - 0.6) == 255


@pytest.mark.parametrize("exit_code", [None, -2, 256])
def test_row_without_a_usable_status_is_no_answer(
    gateway: Replay, client: GatewayClient, exit_code: int | None
) -> None:
    """Only 0 to 255 is a status, and -1 for a signal."""
    now = time.time()
    rows(gateway, row(now - 0.5, now - 0.1, exit_code))
    assert status(client, now - 0.6) is None


def test_more_rows_than_a_page_are_no_answer(gateway: Replay, client: GatewayClient) -> None:
    """A second candidate may stand on the next page."""
    now = time.time()
    rows(gateway, row(now - 0.5, now - 0.1), more=True)
    assert status(client, now - 0.6) is None


def test_gateway_that_fails_leaves_the_status_unknown(client: GatewayClient) -> None:
    """No fault of the gateway becomes an exit status."""
    assert status(client, time.time()) is None


def notice(gateway: Replay, client: GatewayClient, *data: dict[str, Any]) -> str | None:
    """What Alice is told with these rows at the gateway."""
    rows(gateway, *data)
    return Sessions(client).five_minute_notice(ALICE)


def test_user_who_was_cut_at_five_minutes_is_told(gateway: Replay, client: GatewayClient) -> None:
    """The newest long session ended at 300 s with the gateway's own status."""
    now = time.time()
    assert notice(gateway, client, row(now - 50, now - 10, 0), row(now - 900, now - 599.9, 254)) == FIVE_MINUTES


@pytest.mark.parametrize(
    "data",
    [
        [],
        [(-900, -599, 0)],
        [(-900, -700, 254)],
        [(-900, -200, 254)],
        [(-500, None, None), (-2000, -1700, 254)],
        [(-900, -300, 0), (-2000, -1700, 254)],
    ],
    ids=["no-rows", "ended-by-itself", "killed-early", "cut-later", "newer-runs-on", "newer-was-longer"],
)
def test_user_who_was_not_cut_is_told_nothing(
    gateway: Replay, client: GatewayClient, data: list[tuple[float, float | None, int | None]]
) -> None:
    """Without a sign of it nobody is worried."""
    now = time.time()
    made = [row(now + start, None if end is None else now + end, code) for start, end, code in data]
    assert notice(gateway, client, *made) is None


def test_five_minute_notice_survives_a_failing_gateway(client: GatewayClient) -> None:
    """A courtesy never stands in the way."""
    assert Sessions(client).five_minute_notice(ALICE) is None
