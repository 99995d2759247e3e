"""Logins that must come about, and logins that must not."""

from __future__ import annotations

from typing import Any

import pytest

from hoopjump.identity.errors import IdentityError
from hoopjump.identity.login import Manner, log_in
from tests.identity.conftest import Laptop, Somebody
from tests.identity.fake_provider import FakeProvider


def refused(laptop: Laptop, fake: FakeProvider, somebody: Somebody | None = None, **settings: Any) -> IdentityError:
    """A login that must fail, and leave no tokens behind."""
    laptop.configure(fake.issuer, **{"timeout": 30, **settings})
    somebody = somebody or Somebody()
    with pytest.raises(IdentityError) as error:
        log_in(laptop.settings, laptop.places, Manner(somebody))
    somebody.finish()
    assert not laptop.places.tokens.exists()
    return error.value


def accepted(laptop: Laptop, fake: FakeProvider, somebody: Somebody | None = None, **settings: Any) -> str:
    """A login that must come about; the user."""
    laptop.configure(fake.issuer, **{"timeout": 30, **settings})
    somebody = somebody or Somebody()
    login = log_in(laptop.settings, laptop.places, Manner(somebody))
    somebody.finish()
    return login.tokens.user(laptop.settings)
