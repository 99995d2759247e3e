"""Which resource roles are there, and which of them a user may see.

The API key sees everything, an auditor's above all, and the gateway cannot be asked what somebody else sees. So its
access control is recomputed (:func:`hoopjump.decision.session.may_see`) from the ``access_control`` plugin, which
answers 404 when it is off, from the attributes, and from the user's groups. A role that is hidden from the user reads
exactly like one that does not exist.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from hoopjump.config import GatewaySection
from hoopjump.decision.session import AccessControl, Role, may_see
from hoopjump.decision.values import User
from hoopjump.gateway.client import GatewayClient, GatewayError
from hoopjump.gateway.models import (
    AttributeReply,
    ConnectionReply,
    PageReply,
    PluginReply,
    RuleReply,
    SessionsReply,
    read,
    read_all,
    seconds,
)
from hoopjump.gateway.shared import Shared

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{3,254}\Z")
_PAGE_SIZE: Final = 100  # the most that the gateway gives


@dataclass(frozen=True, slots=True)
class RoleFound:
    """The resource role is there and the user may see it."""

    role: Role


@dataclass(frozen=True, slots=True)
class RoleMissing:
    """No such resource role for this user; the names are those that the user may see."""

    visible_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RolesUnavailable:
    """The gateway could not be asked. ``slow`` tells a missed deadline from a failure; ``detail`` is for the log."""

    detail: str
    slow: bool = False


class Roles:
    """What the gateway knows of resource roles; calls may block for the client's timeouts. Safe between threads.

    The single role is asked for anew each time (its agent may have gone); what changes seldom is kept for
    ``section.cache`` seconds.
    """

    def __init__(self, client: GatewayClient, section: GatewaySection) -> None:
        self._client = client
        self._connections = Shared(self._load_connections, section.cache)
        self._plugin = Shared(self._load_plugin, section.cache)
        self._attributes = Shared(self._load_attributes, section.cache)
        self._rules = Shared(self._load_rules, section.cache)

    def find(self, name: str, user: User) -> RoleFound | RoleMissing | RolesUnavailable:
        """The resource role of exactly this name, if the user may see it; never raises."""
        try:
            # The route takes an ID too, which the SSH server does not.
            reply = self._client.find("connections", name) if _NAME.match(name) else None
            connection = None if reply is None else read(ConnectionReply, reply)
            if connection is not None and connection.name == name:
                role = self._role(connection)
                if may_see(role, user, self._access_control()):
                    return RoleFound(self._reviewed(role, connection, user))
            return RoleMissing(tuple(role.name for role in self._seen(user)))
        except GatewayError as error:
            return RolesUnavailable(error.message, slow=error.kind == "slow")

    def visible(self, user: User) -> tuple[Role, ...]:
        """All resource roles that the user may see, by name; raises :class:`GatewayError`.

        The gateway's list does not tell whether an approval is needed; the rules do, to a key that may read them.
        """
        by_name = {connection.name: connection for connection in self._connections.get()}
        return tuple(self._reviewed(role, by_name[role.name], user) for role in self._seen(user))

    def approved_until(self, user: User, role: Role) -> float | None:
        """When the user's approved access to a role ends (Unix seconds); None without one that still runs.

        The gateway looks at the newest approved request only, as here. Raises :class:`GatewayError`.
        """
        query = {
            "user": like(user.subject),
            "connection": like(role.name),
            "review.status": "APPROVED",
            "limit": "100",
            "count": "none",
        }
        ends = [
            (seconds(row.review.created_at), seconds(row.review.revoke_at))
            for row in read(SessionsReply, self._client.get("sessions", query=query)).data
            if row.user_id == user.subject and row.connection == role.name
            if row.review and row.review.type == "jit" and row.review.status == "APPROVED"
            if row.review.created_at and row.review.revoke_at
        ]
        if not ends:
            return None
        _, until = max(ends)
        return until if until > time.time() else None

    def _seen(self, user: User) -> list[Role]:
        access_control = self._access_control()
        roles = (self._role(connection) for connection in self._connections.get())
        return sorted((role for role in roles if may_see(role, user, access_control)), key=lambda role: role.name)

    def _role(self, connection: ConnectionReply) -> Role:
        attributes = set(connection.attributes)
        if self._plugin.get() is not None:
            attributes |= {entry.name for entry in self._attributes.get() if connection.name in entry.connection_names}
        features = connection.effective_features
        request = features.access_request if features else None
        return Role(
            name=connection.name,
            type=connection.type,
            subtype=connection.subtype or "",
            online={"online": True, "offline": False}.get(connection.status),
            # Only "disabled" blocks at the gateway.
            mode_connect=connection.access_mode_connect != "disabled",
            mode_exec=connection.access_mode_exec != "disabled",
            review_command=bool(request and request.command),
            review_jit=bool(request and request.jit),
            review_legacy=bool(connection.reviewers or (request and request.legacy_reviewers)),
            attributes=tuple(sorted(attributes)),
            id=connection.id,
        )

    def _reviewed(self, role: Role, connection: ConnectionReply, user: User) -> Role:
        """Correct the approvals by the rules: a rule may ask certain groups only, or spare some."""
        known = connection.effective_features is not None
        if known and not role.review_command and not role.review_jit:
            return role
        rules = self._rules.get()
        if rules is None:
            return role
        command = _asks(rules, role, user, "command")
        jit = _asks(rules, role, user, "jit")
        return replace(
            role,
            # A rule that applies and cannot be seen still applies, so None leaves the gateway's word.
            review_command=role.review_command if command is None else command,
            review_jit=role.review_jit if jit is None else jit,
        )

    def _access_control(self) -> AccessControl:
        plugin = self._plugin.get()
        if plugin is None:
            return AccessControl()
        return AccessControl(
            enabled=True,
            by_connection={entry.id: frozenset(entry.config) for entry in plugin.connections},
            by_attribute={entry.name: frozenset(entry.access_control_group_names) for entry in self._attributes.get()},
        )

    def _load_connections(self) -> list[ConnectionReply]:
        return read_all(ConnectionReply, self._client.get("connections"))

    def _load_plugin(self) -> PluginReply | None:
        reply = self._client.find("plugins", "access_control")
        return None if reply is None else read(PluginReply, reply)

    def _load_attributes(self) -> list[AttributeReply]:
        found: list[AttributeReply] = []
        while True:
            number = len(found) // _PAGE_SIZE + 1
            query = {"page": str(number), "page_size": str(_PAGE_SIZE)}
            page = read(PageReply, self._client.get("attributes", query=query))
            found += read_all(AttributeReply, page.data)
            if len(page.data) < _PAGE_SIZE or len(found) >= page.pages.total:
                return found

    def _load_rules(self) -> list[RuleReply] | None:
        try:
            page = read(PageReply, self._client.get("access-requests", "rules"))
        except GatewayError as error:
            # Admins and auditors may read the rules; an older gateway has none.
            if error.status in (403, 404):
                return None
            raise
        return read_all(RuleReply, page.data)


def like(text: str) -> str:
    """A value as the SQL LIKE pattern that matches it alone; the session filters are such patterns."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _asks(rules: Iterable[RuleReply], role: Role, user: User, access: Literal["command", "jit"]) -> bool | None:
    """Whether the rules ask this user for an approval; None when no rule for the role can be seen.

    Rules by attribute come before rules by name. Which of several the gateway takes cannot be seen, so one that asks
    is enough.
    """
    fitting = [rule for rule in rules if rule.access_type in (access, "jit_command")]
    chosen = [rule for rule in fitting if set(rule.attributes) & set(role.attributes)] or [
        rule for rule in fitting if role.name in rule.connection_names
    ]
    return any(not _spared(rule, user) for rule in chosen) if chosen else None


def _spared(rule: RuleReply, user: User) -> bool:
    groups = set(user.groups)
    if rule.approval_required_groups:
        return not groups & set(rule.approval_required_groups)
    return bool(groups & set(rule.skip_review_groups))
