"""Resource roles as one user sees them, recomputed from recorded replies."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from hoopjump.decision.session import Role
from hoopjump.decision.values import User
from hoopjump.gateway.client import GatewayClient, GatewayError
from hoopjump.gateway.roles import RoleFound, RoleMissing, Roles, RolesUnavailable, like
from tests.gateway.replay import KEY, Replay, body, section

ALICE = User("alice@x.io", "alice@x.io", "active", ("dev",))
CAROL = User("carol@x.io", "carol@x.io", "active")
EVE = User("eve@x.io", "eve@x.io", "active", ("auditor",))
ADMIN = User("admin@x.io", "admin@x.io", "active", ("admins",), admin=True)

MYBASH = body("connections_get")


def roles(gateway: Replay, **settings: Any) -> Roles:
    """A :class:`Roles` of its own, without a cache unless a test says otherwise."""
    made = section(gateway.url, **settings)
    return Roles(GatewayClient(made, KEY), made)


def found(answer: RoleFound | RoleMissing | RolesUnavailable) -> Role:
    """The role of an answer that must have found one."""
    assert isinstance(answer, RoleFound), answer
    return answer.role


def attributes(*entries: dict[str, Any], total: int | None = None, page: int = 1) -> dict[str, Any]:
    """A page of attributes."""
    pages = {"total": len(entries) if total is None else total, "page": page, "size": 100}
    return {"pages": pages, "data": list(entries)}


def rules(*entries: dict[str, Any]) -> dict[str, Any]:
    """The list of access request rules."""
    return {"pages": {"total": len(entries), "page": 1, "size": 0}, "data": list(entries)}


def rule(access_type: str = "jit_command", **fields: Any) -> dict[str, Any]:
    """A rule on jitbash."""
    return {"name": "rule1", "access_type": access_type, "connection_names": ["jitbash"], **fields}


def no_access_control(gateway: Replay) -> None:
    """The plugin is off, and mybash and mongo are there."""
    gateway.play("plugins_access_control_missing")
    gateway.answer("/api/connections", body("connections_list_paged")["data"])


def access_control(gateway: Replay) -> None:
    """The plugin shows mybash to group dev; mongo, which it does not know, is hidden."""
    gateway.play("plugins_access_control")
    gateway.answer("/api/attributes", attributes())
    gateway.answer("/api/connections", body("connections_list_paged")["data"])


def test_role_is_found_with_what_the_gateway_knows(gateway: Replay) -> None:
    """Type, agent and access modes come from the single connection."""
    no_access_control(gateway)
    gateway.play("connections_get", "connections_get_postgres")
    role = found(roles(gateway).find("mybash", CAROL))
    assert (role.name, role.protocol, role.online, role.mode_exec) == ("mybash", "command-line", True, True)
    assert (role.review_command, role.review_jit, role.review_legacy) == (False, False, False)
    assert found(roles(gateway).find("pgdemo", CAROL)).protocol == "postgres"


def test_offline_agent_is_seen(gateway: Replay) -> None:
    """The gateway itself only says so after five seconds, or not at all."""
    no_access_control(gateway)
    gateway.play("connections_get_agent_offline")
    assert found(roles(gateway).find("mybash", CAROL)).online is False


def test_only_disabled_blocks_a_mode(gateway: Replay) -> None:
    """Any other value, also an unknown one, lets the gateway decide."""
    no_access_control(gateway)
    changed = {**MYBASH, "access_mode_exec": "disabled", "access_mode_connect": ""}
    gateway.answer("/api/connections/mybash", changed)
    role = found(roles(gateway).find("mybash", CAROL))
    assert (role.mode_exec, role.mode_connect) == (False, True)


def test_missing_role_tells_the_visible_names(gateway: Replay) -> None:
    """A suggestion is made from these names only."""
    no_access_control(gateway)
    gateway.play("connections_get_missing")
    assert roles(gateway).find("nosuch", CAROL) == RoleMissing(("mongo", "mybash"))


def test_hidden_role_reads_like_a_missing_one(gateway: Replay) -> None:
    """Who may not see a role learns nothing of it: neither that it is there, nor its name as a suggestion."""
    access_control(gateway)
    gateway.play("connections_get", "connections_get_missing")
    hidden = roles(gateway).find("mybash", CAROL)
    assert hidden == RoleMissing(())
    assert roles(gateway).find("nosuch", CAROL) == hidden
    assert roles(gateway).visible(CAROL) == ()


@pytest.mark.parametrize("user", [ALICE, EVE, ADMIN], ids=["group", "auditor", "admin"])
def test_role_is_visible_by_group(gateway: Replay, user: User) -> None:
    """A configured group sees the role; auditors and administrators see all."""
    access_control(gateway)
    gateway.play("connections_get")
    assert found(roles(gateway).find("mybash", user)).name == "mybash"


def test_unconfigured_role_is_hidden_while_the_plugin_is_on(gateway: Replay) -> None:
    """The list has mongo, which the plugin does not know."""
    access_control(gateway)
    assert [role.name for role in roles(gateway).visible(ALICE)] == ["mybash"]
    assert [role.name for role in roles(gateway).visible(EVE)] == ["mongo", "mybash"]


def test_role_is_visible_by_attribute(gateway: Replay) -> None:
    """An attribute lets its groups see the connections that carry it, also those only the attribute names."""
    access_control(gateway)
    ops = User("o", "o@x.io", "active", ("ops",))
    entry = {"name": "prod", "connection_names": ["mongo"], "access_control_group_names": ["ops"]}
    gateway.answer("/api/attributes", attributes(entry))
    assert [role.name for role in roles(gateway).visible(ops)] == ["mongo"]


def test_attributes_are_read_to_the_last_page(gateway: Replay) -> None:
    """The gateway gives at most a hundred at a time."""
    access_control(gateway)
    first = [{"name": f"a{number:03}"} for number in range(100)]
    last = {"name": "prod", "connection_names": ["mongo"], "access_control_group_names": ["dev"]}
    gateway.answer("/api/attributes?page=1&page_size=100", attributes(*first, total=101))
    gateway.answer("/api/attributes?page=2&page_size=100", attributes(last, total=101, page=2))
    assert [role.name for role in roles(gateway).visible(ALICE)] == ["mongo", "mybash"]


def test_id_of_a_role_is_not_its_name(gateway: Replay) -> None:
    """The REST API takes an ID where the SSH server takes names only."""
    no_access_control(gateway)
    gateway.answer(f"/api/connections/{MYBASH['id']}", MYBASH)
    assert isinstance(roles(gateway).find(MYBASH["id"], CAROL), RoleMissing)


@pytest.mark.parametrize("name", ["..", "a/b", "", "x?y", "my bash"])
def test_what_is_no_name_is_not_asked_for(gateway: Replay, name: str) -> None:
    """A name that the gateway cannot have never becomes part of a path."""
    no_access_control(gateway)
    assert isinstance(roles(gateway).find(name, CAROL), RoleMissing)
    assert all(path in ("/api/connections", "/api/plugins/access_control") for path in gateway.paths())


def test_needed_approval_is_seen(gateway: Replay) -> None:
    """A rule shows in effective_features, also to a key that may not read the rules."""
    no_access_control(gateway)
    gateway.play("connections_get_review_required")
    gateway.answer("/api/access-requests/rules", {"message": "access denied"}, status=403)
    role = found(roles(gateway).find("jitbash", ALICE))
    assert (role.review_command, role.review_jit, role.review_legacy) == (True, True, False)


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({}, True),
        ({"approval_required_groups": ["dev"]}, True),
        ({"approval_required_groups": ["ops"]}, False),
        ({"skip_review_groups": ["dev"]}, False),
        ({"skip_review_groups": ["ops"]}, True),
        ({"approval_required_groups": ["dev"], "skip_review_groups": ["dev"]}, True),
    ],
)
def test_rule_may_spare_a_user(gateway: Replay, fields: dict[str, Any], needed: bool) -> None:
    """A rule for certain groups, or that spares some, asks only those whom the gateway would ask."""
    no_access_control(gateway)
    gateway.play("connections_get_review_required")
    gateway.answer("/api/access-requests/rules", rules(rule(**fields)))
    role = found(roles(gateway).find("jitbash", ALICE))
    assert (role.review_command, role.review_jit) == (needed, needed)


def test_rule_by_attribute_comes_before_one_by_name(gateway: Replay) -> None:
    """The gateway looks for a rule by attribute first, and by name only if there is none."""
    no_access_control(gateway)
    gateway.answer("/api/connections/jitbash", {**body("connections_get_review_required"), "attributes": ["prod"]})
    by_attribute = rule(connection_names=[], attributes=["prod"], skip_review_groups=["dev"])
    gateway.answer("/api/access-requests/rules", rules(rule(), by_attribute))
    assert found(roles(gateway).find("jitbash", ALICE)).review_jit is False


def test_rule_for_commands_does_not_ask_terminals(gateway: Replay) -> None:
    """The verbs have approvals of their own."""
    no_access_control(gateway)
    connection = body("connections_get_review_required")
    features = {"access_request": {"command": True, "jit": False, "legacy_reviewers": False}}
    gateway.answer("/api/connections/jitbash", {**connection, "effective_features": features})
    gateway.answer("/api/access-requests/rules", rules(rule("command")))
    role = found(roles(gateway).find("jitbash", ALICE))
    assert (role.review_command, role.review_jit) == (True, False)


def test_list_tells_needed_approvals_by_the_rules(gateway: Replay) -> None:
    """The gateway's own list leaves them unknown."""
    gateway.play("plugins_access_control_missing")
    listed = {**body("connections_get_review_required"), "effective_features": None}
    gateway.answer("/api/connections", [listed, {**MYBASH, "effective_features": None, "reviewers": ["sec"]}])
    gateway.answer("/api/access-requests/rules", rules(rule("jit")))
    first, second = roles(gateway).visible(ALICE)
    assert (first.name, first.review_jit, first.review_command, first.review_legacy) == ("jitbash", True, False, False)
    assert (second.name, second.review_jit, second.review_legacy) == ("mybash", False, True)


@pytest.mark.parametrize(
    "path", ["/api/connections/mybash", "/api/plugins/access_control", "/api/attributes", "/api/connections"]
)
def test_fault_anywhere_is_unavailable_and_shows_nothing(gateway: Replay, path: str) -> None:
    """No single failing answer makes a role visible or lets it look missing."""
    access_control(gateway)
    gateway.play("connections_get")
    gateway.answer(path, {"message": "boom"}, status=500)
    assert isinstance(roles(gateway).find("mybash", CAROL), RolesUnavailable)


def test_plugin_route_that_is_not_the_gateways_does_not_switch_access_control_off(gateway: Replay) -> None:
    """A 404 in plain text comes from elsewhere; it must not read as "the plugin is off"."""
    gateway.play("connections_get")
    answer = roles(gateway).find("mybash", CAROL)
    assert isinstance(answer, RolesUnavailable)


def test_slow_gateway_is_told_apart(gateway: Replay) -> None:
    """A missed deadline gets its own advice."""
    done = threading.Event()
    gateway.routes["/api/connections/mybash"] = lambda _: (done.wait(5), None)[1]
    answer = roles(gateway, read_timeout=0.2).find("mybash", CAROL)
    done.set()
    assert isinstance(answer, RolesUnavailable)
    assert answer.slow


def test_what_changes_seldom_is_read_once(gateway: Replay) -> None:
    """Many sessions share the plugin's answer; the role itself is asked for anew."""
    access_control(gateway)
    gateway.play("connections_get")
    asked = roles(gateway, cache=30)
    for _ in range(3):
        found(asked.find("mybash", ALICE))
    assert gateway.paths().count("/api/plugins/access_control") == 1
    assert gateway.paths().count("/api/connections/mybash") == 3


def review(created: float, until: float | None, **fields: Any) -> dict[str, Any]:
    """A session row with an approved request for access over a time."""
    row = body("sessions_list_pending_review")["data"][0]
    merged = {
        **row["review"],
        "status": "APPROVED",
        "created_at": moment(created),
        "revoke_at": None if until is None else moment(until),
    }
    return {**row, "review": merged, **fields}


def moment(offset: float) -> str:
    """Now and ``offset`` seconds, as the gateway writes it."""
    return datetime.fromtimestamp(time.time() + offset, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


JITBASH = Role("jitbash", "custom")


def approved(gateway: Replay, *rows: dict[str, Any]) -> float | None:
    """Ask with these rows at the gateway."""
    gateway.answer("/api/sessions", {"data": list(rows), "total": None, "has_next_page": False})
    return roles(gateway).approved_until(ALICE, JITBASH)


def test_approved_access_runs_until_it_is_revoked(gateway: Replay) -> None:
    """The end is the review's revoke_at."""
    until = approved(gateway, review(-60, 600))
    assert until is not None
    assert 590 < until - time.time() <= 600
    assert "review.status=APPROVED" in gateway.paths()[0]


def test_recorded_approval_has_ended(gateway: Replay) -> None:
    """A provisioned grant of the past, as recorded, is over."""
    row = {**body("review_provision_jit_session"), "user_id": ALICE.subject, "connection": "jitbash"}
    assert approved(gateway, row) is None


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [review(-60, -1)],
        [review(-60, None)],
        [review(-60, 600, user_id="ALICE@x.io")],
        [review(-60, 600, connection="jitbasH")],
        [review(-10, -1), review(-60, 600)],
    ],
    ids=["none", "ended", "never-began", "another-user", "another-role", "newest-ended"],
)
def test_no_approved_access(gateway: Replay, rows: list[dict[str, Any]]) -> None:
    """Only the newest approved request of this user for this role counts, and only while it runs."""
    assert approved(gateway, *rows) is None


def test_one_time_approval_is_no_access(gateway: Replay) -> None:
    """A request for one command cannot be used over SSH."""
    row = review(-60, 600)
    row["review"]["type"] = "onetime"
    assert approved(gateway, row) is None


def test_approval_that_cannot_be_asked_for_is_an_error(gateway: Replay) -> None:
    """Not to know is not "no"."""
    with pytest.raises(GatewayError):
        roles(gateway).approved_until(ALICE, JITBASH)


def test_like_pattern_matches_itself_alone() -> None:
    """The wildcards of SQL LIKE are escaped."""
    assert like(r"a_b%c\d") == r"a\_b\%c\\d"
