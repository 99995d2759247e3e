"""Reviews over REST, as recorded, with their traps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from hoopjump.dev.gateway import RoleSpec, UserSpec
from hoopjump.dev.gateway.model import Session
from hoopjump.dev.gateway.reviews import open_review
from tests.dev.replay import compare, transcript
from tests.dev.test_rest_transcripts import Api, serve

USERS = (
    UserSpec("alice@x.io", "Alice X", ("dev",), subject="a36dc1c6-bcfc-4e25-81e2-10e2135f463e"),
    UserSpec("bob@x.io", "Bob X", ("sec",), subject="ceef6bbc-d490-48af-83bd-de8939219e8b"),
    UserSpec("carol@x.io", "Carol X", ("ops",), subject="76820088-0106-4254-9c9f-ec5c11d84796"),
    UserSpec("root@x.io", "Root X", ("admin",), subject="b5866158-ff81-498f-99c5-cf4920014f04"),
    UserSpec("frank@x.io", "Frank", subject="21ea62c5-7750-484a-8087-732a0d3f72e2"),
)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """With the rule of the recordings over the role rvbash."""
    for api in serve(tmp_path / "reviews", USERS, (RoleSpec("rvbash"),)):
        api.check("review_rule_post", api.user("root@x.io"))
        yield api


def review_of(api: Api, *, script: str = "", kind: str = "onetime", need: int | None = None) -> Session:
    """A session of Alice's that waits for its review."""
    verb = "exec" if kind == "onetime" else "connect"
    row = Session("alice@x.io", USERS[0].subject, "Alice X", "rvbash", "custom", "", verb, script=script)
    open_review(row, api.gateway.store.rules[0], kind)
    assert row.review is not None
    if need is not None:
        row.review.min_approvals = need
    api.gateway.store.sessions.append(row)
    return row


def test_one_time_review_from_asking_to_running(api: Api) -> None:
    """Two groups approve; then the script runs once."""
    alice = api.user("alice@x.io")
    session = api.check("review_onetime_1_post_sessions", alice)["session_id"]
    api.check("review_onetime_2_poll_pending", alice, f"/api/sessions/{session}")
    api.check("review_onetime_3_first_group_approves", api.user("bob@x.io"), f"/api/reviews/{session}")
    api.check("review_onetime_4_second_group_approves", api.user("carol@x.io"), f"/api/reviews/{session}")
    api.check("review_onetime_5_poll_ready", alice, f"/api/sessions/{session}")
    api.check("review_onetime_6_exec", alice, f"/api/sessions/{session}/exec")
    api.check("review_onetime_7_done", alice, f"/api/sessions/{session}")


def test_running_before_approval_burns_the_review(api: Api) -> None:
    """It answers that it waits, and will never run."""
    alice = api.user("alice@x.io")
    row = review_of(api, script="echo never")
    api.check("review_onetime_exec_before_approval_burns", alice, f"/api/sessions/{row.id}/exec")
    assert row.review is not None
    assert row.review.status == "EXECUTED"
    approved = api.replay("reviews_put_approve", api.user("bob@x.io"), f"/api/reviews/{row.id}")
    assert (approved.status_code, approved.json()) == (400, {"message": "review is in wrong state"})


def test_rejection_has_a_reason_and_ends_the_row(api: Api) -> None:
    """Exit code 254."""
    row = review_of(api, script="echo four", need=1)
    api.check("review_put_reject_with_reason", api.user("bob@x.io"), f"/api/reviews/{row.id}")
    polled = api.replay("review_poll_rejected", api.user("alice@x.io"), f"/api/sessions/{row.id}")
    recorded = transcript("review_poll_rejected")["response"]["body"]
    assert polled.json().keys() == recorded.keys()
    assert polled.json()["review"].keys() == recorded["review"].keys()
    assert (polled.json()["status"], polled.json()["exit_code"]) == ("done", 254)


def test_admin_outside_the_groups_needs_force(api: Api) -> None:
    """Without it a 200 changes nothing."""
    row = review_of(api, need=1)
    root = api.user("root@x.io")
    plain = api.replay("reviews_put_approve", root, f"/api/reviews/{row.id}")
    assert (plain.status_code, plain.json()["status"]) == (200, "PENDING")
    api.check("review_put_force", root, f"/api/reviews/{row.id}")


def test_owner_cannot_approve(api: Api) -> None:
    """Nor can somebody outside the groups."""
    row = review_of(api)
    api.check("reviews_put_self_approve", api.user("alice@x.io"), f"/api/reviews/{row.id}")
    stranger = api.replay("reviews_put_approve", api.user("frank@x.io"), f"/api/reviews/{row.id}")
    assert (stranger.status_code, stranger.json()) == (400, {"message": "not eligible for review"})


def test_approved_jit_review_lets_later_logins_in(api: Api) -> None:
    """Its time window is stored, and not enforced."""
    row = review_of(api, kind="jit", need=1)
    recorded = api.replay("review_jit_2_approve_time_window", api.user("bob@x.io"), f"/api/reviews/{row.id}")
    compare("review_jit_2_approve_time_window", recorded)


def test_pending_jit_review_is_found_by_its_row(api: Api) -> None:
    """The list of sessions filters by review status."""
    review_of(api, kind="jit").end(254)
    answer = api.replay("review_jit_1_pending_after_ssh_attempt", api.user("alice@x.io")).json()
    assert [row["review"]["status"] for row in answer["data"]] == ["PENDING"]
    listed = requests.get(f"{api.url}/api/reviews", headers=api.admin, timeout=5).json()
    assert listed[0].keys() == transcript("reviews_list")["response"]["body"][0].keys()


def test_key_provisions_an_approved_review(api: Api) -> None:
    """A groupless key is enough; an auditor's is refused."""
    key = api.key("groupless")
    session = api.check("review_provision_jit", key)["session_id"]
    compare(
        "review_provision_jit_session",
        api.replay("review_provision_jit_session", api.admin, f"/api/sessions/{session}"),
    )
    api.check("review_provision_onetime", key)
    assert api.replay("review_provision_jit", api.key("auditor", "auditor")).status_code == 403
