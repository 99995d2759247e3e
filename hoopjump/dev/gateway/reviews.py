"""Reviews: asking, approving, rejecting, and what an approval grants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hoopjump.dev.gateway.identity import Caller
from hoopjump.dev.gateway.model import Review, Session, Store, new_id, now

# Over SSH the asked duration is always a quarter of an hour.
SSH_DURATION = 15 * 60
_FINAL = ("REJECTED", "REVOKED", "EXECUTED")


class ReviewError(Exception):
    """The review cannot be changed so; ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _group(name: str, status: str = "PENDING") -> dict[str, Any]:
    return {
        "id": new_id(),
        "group": name,
        "status": status,
        "reviewed_by": None,
        "review_date": None,
        "forced_review": False,
    }


def open_review(row: Session, rule: dict[str, Any], kind: str, seconds: int = SSH_DURATION) -> None:
    """Ask for access; a rule whose longest access is shorter makes no review, and says nothing."""
    longest = rule["access_max_duration"]
    if kind == "jit" and longest is not None and longest < seconds:
        return
    row.review = Review(
        session=row.id,
        type=kind,
        access_duration=seconds * 10**9 if kind == "jit" else 0,
        groups=[_group(name) for name in rule["reviewers_groups"]],
        rule_name=rule["name"],
        min_approvals=rule["min_approvals"],
        force_approval_groups=rule["force_approval_groups"] or None,
    )
    if rule["all_groups_must_approve"]:
        row.review.min_approvals = len(row.review.groups)


def has_grant(store: Store, subject: str, role: str) -> bool:
    """Whether an approved jit review lets this user in at this moment."""
    return any(
        row.review is not None
        and row.review.type == "jit"
        and row.review.status == "APPROVED"
        and row.user_id == subject
        and row.connection == role
        and row.review.revoke_at is not None
        and datetime.fromisoformat(row.review.revoke_at) > datetime.now(UTC)
        for row in store.sessions
    )


def provisioned(row: Session, caller: Caller, seconds: int) -> Review:
    """A review that an API key has approved by asking."""
    by = {"id": caller.subject, "email": caller.email, "slack_id": ""}
    return Review(
        session=row.id,
        type="jit" if row.verb == "connect" else "onetime",
        access_duration=seconds * 10**9,
        groups=[_group("admin", "APPROVED") | {"reviewed_by": by, "review_date": now()}],
        rule_name=None,
        min_approvals=None,
        force_approval_groups=None,
        status="APPROVED",
        revoke_at=moment_in(seconds),
    )


def moment_in(seconds: float) -> str:
    """The moment so many seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def find(store: Store, wanted: str) -> tuple[Session, Review] | None:
    """A review by its own id or its session's."""
    for row in store.sessions:
        if row.review is not None and wanted in (row.id, row.review.id):
            return row, row.review
    return None


def change(row: Session, review: Review, caller: Caller, body: dict[str, Any]) -> None:
    """Approve, reject or revoke; raises :class:`ReviewError`."""
    status = str(body.get("status", "")).upper()
    if status not in ("APPROVED", "REJECTED", "REVOKED"):
        raise ReviewError(500, "internal server error")
    mine = [group for group in review.groups if group["group"] in caller.groups]
    if status == "APPROVED" and row.user_id == caller.subject and not caller.is_admin:
        raise ReviewError(400, "unable to self approve review")
    if not mine and not caller.is_admin and row.user_id != caller.subject:
        raise ReviewError(400, "not eligible for review")
    if review.status in _FINAL:
        raise ReviewError(400, "review is in wrong state")
    by = {"id": caller.subject, "name": caller.name, "email": caller.email, "slack_id": ""}
    mark = {"status": status, "reviewed_by": by, "review_date": now()}
    if body.get("time_window"):
        review.time_window = body["time_window"]
    if status == "APPROVED" and body.get("force_review"):
        forced = [name for name in review.force_approval_groups or () if name in caller.groups]
        if not forced:
            raise ReviewError(400, "not eligible for review")
        review.groups.append(_group(forced[0]) | mark | {"forced_review": True})
        _approve(row, review)
        return
    for group in mine:
        group.update(mark)
    if status == "APPROVED":
        approved = sum(group["status"] == "APPROVED" for group in review.groups)
        # Equality, not "at least": one reviewer in two groups leaves a need of one unmet for good.
        if approved == (review.min_approvals or len(review.groups)):
            _approve(row, review)
        return
    review.status = status
    if body.get("rejection_reason"):
        review.rejection_reason = str(body["rejection_reason"])
    if status == "REJECTED" and row.status != "done":
        row.end(254)


def _approve(row: Session, review: Review) -> None:
    review.status = "APPROVED"
    review.revoke_at = moment_in(review.access_duration / 10**9)
    if row.status == "open":
        row.status = "ready"
