"""Who stands behind a certificate, and whether they may use the account that they ask for."""

from __future__ import annotations

from collections.abc import Mapping

from hoopjump.decision.reasons import Reason, printable
from hoopjump.decision.request import split_account
from hoopjump.decision.rules import Rule, rule
from hoopjump.decision.values import (
    Accounts,
    Ambiguous,
    Answer,
    Found,
    LoginRequest,
    Lookup,
    Missing,
    Policy,
    Unavailable,
    User,
)


class Identity:
    """The directory's answers taken together.

    The gateway lets the first principal that is anybody decide; here all of a certificate's values that are anybody
    must be the same user, and none may be in doubt. A lookup without an answer counts as unavailable.
    """

    def __init__(self, lookups: tuple[Lookup, ...], answers: Mapping[Lookup, Answer]) -> None:
        self._values = tuple(lookup.value for lookup in lookups)
        self._failed: list[Unavailable] = []
        self._ambiguous: list[str] = []
        self._found: list[tuple[str, User]] = []
        for lookup in lookups:
            match answers.get(lookup, Unavailable("not asked")):
                case Found(user):
                    self._found.append((lookup.value, user))
                case Ambiguous():
                    self._ambiguous.append(lookup.value)
                case Unavailable() as failure:
                    self._failed.append(failure)
                case Missing():
                    pass
        self._subjects = list(dict.fromkeys(user.subject for _, user in self._found))

    @property
    def user(self) -> User | None:
        """The user, when every value has its answer and there is just one."""
        sure = not self._failed and not self._ambiguous and len(self._subjects) == 1
        return self._found[0][1] if sure else None

    @property
    def value(self) -> str | None:
        """The first value that stands for :attr:`user`."""
        return self._found[0][0] if self.user is not None else None

    def rules(self) -> tuple[Rule, ...]:
        """Is there a value, did the directory answer, is it one user, is it anybody?"""
        slow = bool(self._failed) and all(failure.slow for failure in self._failed)
        shown = printable(", ".join(self._values))
        failures = "; ".join(dict.fromkeys(printable(failure.detail) for failure in self._failed))
        people = ", ".join(f"{printable(value)} is {printable(user.subject)}" for value, user in self._found)
        return (
            rule("identity-present", bool(self._values), Reason.CERT_NO_IDENTITY, shown or "none"),
            rule(
                "directory-answered",
                not self._failed,
                Reason.GATEWAY_SLOW if slow else Reason.GATEWAY_UNAVAILABLE,
                failures or f"{len(self._values)} asked",
            ),
            rule(
                "one-user",
                not self._ambiguous and len(self._subjects) <= 1,
                Reason.USER_AMBIGUOUS,
                ", ".join(map(printable, [f"several are {value}" for value in self._ambiguous] + self._subjects))
                or "none",
            ),
            rule(
                "user-known",
                bool(self._found or self._ambiguous),
                Reason.USER_UNKNOWN,
                people or f"nobody is {shown}",
                identity=shown,
            ),
        )


def owner_rules(request: LoginRequest, user: User | None, policy: Policy) -> tuple[Rule, ...]:
    """May this user go on, and in this account?"""
    account = split_account(request.account)[0]
    allowed = user is not None and account_allowed(account, user, policy.accounts)
    status = printable(user.status) if user else "unknown"
    whose = printable(user.email) if user else "nobody"
    return (
        rule("user-active", user is not None and user.active, Reason.USER_INACTIVE, status, status=status),
        rule(
            "account",
            allowed,
            Reason.ACCOUNT_NOT_ALLOWED,
            f"{printable(account)} for {whose}",
            account=printable(account),
        ),
    )


def account_allowed(account: str, user: User, accounts: Accounts) -> bool:
    """Whether a user may log in to an account: shared, their own, or mapped. Nobody gets ``root`` this way."""
    if account in ("", "root"):
        return False
    if account in accounts.shared:
        return True
    if accounts.own and account in (user.email, user.email.partition("@")[0], user.subject):
        return True
    return any(account in accounts.map.get(name, frozenset()) for name in (user.email, user.subject))
