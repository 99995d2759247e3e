"""The uids of accounts."""

from __future__ import annotations

import asyncio
import pwd

import pytest

from hoopjump.daemon.accounts import KEPT_SECONDS, AccountUids


def test_uid_is_kept_for_a_moment_and_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """One login asks the account database once, and a changed account is seen soon."""
    entry = pwd.getpwuid(0)
    uids = [1001, 1002]
    monkeypatch.setattr(pwd, "getpwnam", lambda name: pwd.struct_passwd((name, entry[1], uids.pop(0), *entry[3:])))
    now = [0.0]

    async def story() -> None:
        accounts = AccountUids(clock=lambda: now[0])
        assert [await accounts.uid("hoop"), await accounts.uid("hoop")] == [1001, 1001]
        now[0] += KEPT_SECONDS
        assert await accounts.uid("hoop") == 1002

    asyncio.run(story())


def test_account_that_is_not_there_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that has just been made can log in."""
    known: dict[str, pwd.struct_passwd] = {}
    monkeypatch.setattr(pwd, "getpwnam", lambda name: known[name])

    async def story() -> None:
        accounts = AccountUids()
        assert await accounts.uid("new") is None
        known["new"] = pwd.getpwuid(0)
        assert await accounts.uid("new") == 0

    asyncio.run(story())
