"""The gateway's replies, as far as they are used.

Unknown fields are passed over, since a newer gateway may send them; a field of the wrong type makes the whole reply
garbage. Lists may be null: Go writes an unset slice so. The field names are the gateway's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from hoopjump.decision.values import User
from hoopjump.gateway.client import GatewayError


def _none_is_empty(value: object) -> object:
    return [] if value is None else value


def _timestamp(value: str) -> str:
    datetime.fromisoformat(value)
    return value


Names = Annotated[list[str], BeforeValidator(_none_is_empty)]
Timestamp = Annotated[str, AfterValidator(_timestamp)]
"""RFC 3339 with up to nine digits of a second; :func:`seconds` reads it."""


class Reply(BaseModel):
    """What all replies share: strict types, unknown fields ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class UserReply(Reply):
    """``GET /users/{emailOrID}`` and each of ``GET /users``; ``id`` is the subject."""

    id: str
    email: str
    status: str
    name: str = ""
    role: str = "standard"
    groups: Names = []

    def user(self) -> User:
        """The decision's value; the internal UUID is nowhere in this reply."""
        return User(
            subject=self.id,
            email=self.email,
            status=self.status,
            groups=tuple(self.groups),
            name=self.name,
            admin=self.role == "admin",
        )


class UserInfoReply(UserReply):
    """``GET /userinfo``: whom the API key stands for."""

    is_admin: bool = False


class AccessRequestReply(Reply):
    """Which verbs need an approval: ``command`` gates exec, ``jit`` gates connect, legacy reviewers both."""

    command: bool = False
    jit: bool = False
    legacy_reviewers: bool = False


class EffectiveFeaturesReply(Reply):
    """What acts on a connection; only the approval part is used."""

    access_request: AccessRequestReply = AccessRequestReply()


class ConnectionReply(Reply):
    """A connection, which people call a resource role. ``effective_features`` null means unknown, as in lists."""

    id: str
    name: str
    type: str
    subtype: str | None = ""
    status: str = ""
    reviewers: Names = []
    attributes: Names = []
    access_mode_exec: str = ""
    access_mode_connect: str = ""
    effective_features: EffectiveFeaturesReply | None = None


class PluginConnectionReply(Reply):
    """One connection of a plugin with its configuration, here a list of groups."""

    id: str
    name: str
    config: Names = []


class PluginReply(Reply):
    """``GET /plugins/access_control``; a 404 means that it is off."""

    connections: Annotated[list[PluginConnectionReply], BeforeValidator(_none_is_empty)] = []


class AttributeReply(Reply):
    """An attribute: the connections that carry it, and the groups that it lets in."""

    name: str
    connection_names: Names = []
    access_control_group_names: Names = []


class RuleReply(Reply):
    """An access request rule: whom it asks for an approval, on which connections."""

    name: str
    access_type: str
    connection_names: Names = []
    attributes: Names = []
    approval_required_groups: Names = []
    skip_review_groups: Names = []


class UserMapping(Reply):
    """Which attribute of a certificate names which attribute of a user."""

    cert_attr: str = ""
    user_attr: str = ""


class SshServerReply(Reply):
    """The certificate SSH server's part of ``GET /serverconfig/misc``; ``hosts_key`` is the private host key."""

    listen_address: str = ""
    hosts_key: str = ""
    trusted_cas: Names = []
    user_mapping: UserMapping | None = None


class MiscReply(Reply):
    """``GET /serverconfig/misc``, only what is read of it."""

    ssh_server_config: SshServerReply | None = None


class ServerInfoReply(Reply):
    """``GET /serverinfo``."""

    version: str = ""
    auth_method: str = ""


class ReviewReply(Reply):
    """A session's review; ``revoke_at`` is null until it is approved."""

    type: str = ""
    status: str = ""
    revoke_at: Timestamp | None = None
    created_at: Timestamp | None = None


class SessionReply(Reply):
    """A row of ``GET /sessions``; ``user_id`` is the subject, ``status`` open, ready or done."""

    id: str
    user_id: str
    connection: str
    verb: str
    status: str
    exit_code: int | None = None
    correlation_id: str | None = None
    start_date: Timestamp
    end_date: Timestamp | None = None
    identity_type: str = "user"
    review: ReviewReply | None = None


class SessionsReply(Reply):
    """``GET /sessions``: newest first."""

    data: Annotated[list[SessionReply], BeforeValidator(_none_is_empty)] = []
    has_next_page: bool = False


class PagesReply(Reply):
    """The page that a list in parts stands on; ``total`` counts all its entries."""

    total: int


class PageReply(Reply):
    """A list in parts: ``{"pages": …, "data": […]}``."""

    pages: PagesReply
    data: list[object]


ReplyT = TypeVar("ReplyT", bound=Reply)


def read(model: type[ReplyT], value: object) -> ReplyT:
    """Check one reply; raises :class:`GatewayError` (garbage) that names the first wrong field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"]) or "the answer"
        raise GatewayError(
            "garbage", f"gateway: {model.__name__.removesuffix('Reply')}: {place}: {fault['msg']}"
        ) from error


def read_all(model: type[ReplyT], value: object) -> list[ReplyT]:
    """Check a list of replies."""
    if not isinstance(value, list):
        raise GatewayError("garbage", f"gateway: {model.__name__.removesuffix('Reply')}: not a list")
    return [read(model, entry) for entry in value]


def seconds(timestamp: str) -> float:
    """A :data:`Timestamp` in Unix seconds; without an offset it is UTC."""
    moment = datetime.fromisoformat(timestamp)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
