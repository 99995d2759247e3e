"""Who is this? The gateway's own rules for finding a user, followed over its REST API.

The gateway's SSH server compares exactly (case and spaces count) and, where several users have one e-mail address,
prefers active to invited to all others. ``GET /users/{value}`` takes what Go's ``mail.ParseAddress`` accepts for an
e-mail address and all else for a subject, and does not look at the status. So a value that is surely an address, or
surely none, is asked for by itself, and for the rest the list of users is searched. The internal UUID stands in no
reply: ``user_id`` needs a directory file or the gateway's database.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final, Protocol

from hoopjump.config import ConfigError, GatewaySection
from hoopjump.decision.values import Ambiguous, Answer, Found, Lookup, Missing, Unavailable, User
from hoopjump.errors import HoopjumpError
from hoopjump.gateway.client import GatewayClient, GatewayError
from hoopjump.gateway.directory_database import DirectoryDatabase
from hoopjump.gateway.directory_file import DirectoryFile
from hoopjump.gateway.models import UserReply, read, read_all
from hoopjump.gateway.shared import Shared

# The columns are VARCHAR(255), so nothing longer can be equal to one.
_LONGEST: Final = 255

# Every one of these is an address to Go's parser (dot-atom, "@", dot-atom); RFC 5322 section 3.4.1 allows far more.
_SURELY_ADDRESS: Final = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\Z")

# No address is without "@". The path is limited to what no router between here and there reads as something else.
_SURELY_SUBJECT: Final = re.compile(r"[A-Za-z0-9_+|:=,-][A-Za-z0-9_+|:=,.-]*\Z")

# GET /users/groups is another question.
_TAKEN: Final = frozenset({"groups"})

_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")


class UserIds(Protocol):
    """Where internal UUIDs can be looked up."""

    def subject(self, user_id: str) -> tuple[str, str] | None:
        """Subject and e-mail address ("" if not known) of a lower-case UUID; None if there is no such user.

        Raises :class:`HoopjumpError` when that cannot be told.
        """


class Directory:
    """Answers :class:`Lookup`; every call may block for the client's timeouts. Safe to share between threads.

    Raises :class:`ConfigError` when lookups by ``user_id`` are configured and nothing can answer them.
    """

    def __init__(self, client: GatewayClient, section: GatewaySection) -> None:
        self._client = client
        self._users = Shared(self._list, section.cache)
        self._user_ids: UserIds | None = None
        if section.directory_file and section.directory_database:
            raise ConfigError("gateway.directory_file and gateway.directory_database exclude each other")
        if section.directory_file:
            self._user_ids = DirectoryFile(section.directory_file)
        elif section.directory_database:
            self._user_ids = DirectoryDatabase(section)
        elif section.user_attribute == "user_id":
            raise ConfigError(
                "gateway.user_attribute is user_id, which the gateway's REST API does not tell",
                "set gateway.directory_file or gateway.directory_database, or map users by email or subject",
            )

    def answer(self, lookup: Lookup) -> Answer:
        """Who has exactly this value; never raises, all faults are :class:`Unavailable`."""
        if not lookup.value or len(lookup.value) > _LONGEST or "\0" in lookup.value:
            return Missing()
        try:
            match lookup.attribute:
                case "email":
                    return self._by_email(lookup.value)
                case "subject":
                    return self._by_subject(lookup.value)
                case "user_id":
                    return self._by_user_id(lookup.value)
        except GatewayError as error:
            return Unavailable(error.message, slow=error.kind == "slow")
        except HoopjumpError as error:
            return Unavailable(error.message)

    def _by_email(self, email: str) -> Answer:
        candidates: dict[str, User] = {}
        if _SURELY_ADDRESS.match(email):
            user = self._get(email)
            if user is None:
                return Missing()
            if user.email != email:
                raise GatewayError("garbage", "gateway: asked for one e-mail address, it answered with another")
            candidates[user.subject] = user
        for user in self._users.get():
            if user.email == email:
                # The single answer is newer than the list, which is kept for a while.
                candidates.setdefault(user.subject, user)
        return _best(list(candidates.values()))

    def _by_subject(self, subject: str) -> Answer:
        if _SURELY_SUBJECT.match(subject) and subject not in _TAKEN:
            user = self._get(subject)
            if user is not None and user.subject != subject:
                raise GatewayError("garbage", "gateway: asked for one subject, it answered with another")
            return Found(user) if user else Missing()
        if _SURELY_ADDRESS.match(subject):
            # A local user's subject is the e-mail address. Subjects are unique, so a match settles it.
            user = self._get(subject)
            if user is not None and user.subject == subject:
                return Found(user)
        return _best([user for user in self._users.get() if user.subject == subject])

    def _by_user_id(self, user_id: str) -> Answer:
        # The gateway passes over what is no UUID; either case is equal there.
        if not _UUID.match(user_id):
            return Missing()
        if self._user_ids is None:
            return Unavailable("lookups by user_id need gateway.directory_file or gateway.directory_database")
        known = self._user_ids.subject(user_id.lower())
        if known is None:
            return Missing()
        subject, email = known
        answer = self._by_subject(subject)
        if not isinstance(answer, Found):
            return answer
        if email and answer.user.email != email:
            return Unavailable(
                f"user_id {user_id.lower()} is {email} in the directory and {answer.user.email} at the gateway"
            )
        return Found(replace(answer.user, user_id=user_id.lower()))

    def _get(self, value: str) -> User | None:
        reply = self._client.find("users", value)
        return None if reply is None else read(UserReply, reply).user()

    def _list(self) -> tuple[User, ...]:
        return tuple(reply.user() for reply in read_all(UserReply, self._client.get("users")))


def _best(users: list[User]) -> Answer:
    """The gateway's order: active, then invited, then the rest. Its tie-break, the internal id, cannot be seen."""
    if not users:
        return Missing()
    ranks = [{"active": 0, "invited": 1}.get(user.status, 2) for user in users]
    best = [user for user, rank in zip(users, ranks, strict=True) if rank == min(ranks)]
    return Found(best[0]) if len(best) == 1 else Ambiguous()
