"""The device flow (RFC 8628): how often is asked, when it ends, what is shown."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hoopjump.identity.errors import IdentityError
from hoopjump.identity.login import Manner, log_in
from tests.hostile.tokens import forge
from tests.identity.conftest import Laptop, Somebody
from tests.identity.fake_provider import FakeProvider


def device(laptop: Laptop, fake: FakeProvider) -> list[float]:
    """Log in with a code; how long was waited between the questions."""
    laptop.configure(fake.issuer)
    waited: list[float] = []
    somebody = Somebody(browses=False)
    log_in(laptop.settings, laptop.places, Manner(somebody, wait=waited.append))
    assert somebody.pages == []
    return waited


def test_polling_heeds_the_interval_and_slow_down(laptop: Laptop, fake: FakeProvider) -> None:
    """RFC 8628 section 3.5: five seconds more from then on; an interval out of reason is the usual one."""
    fake.device = ["authorization_pending", "slow_down", "authorization_pending", "slow_down"]
    assert device(laptop, fake) == [5, 5, 10, 10, 15]
    fake.invitation, fake.device = {"interval": 2}, ["authorization_pending"]
    assert device(laptop, fake) == [2, 2]
    fake.invitation = {"interval": 0}
    assert device(laptop, fake) == [5]


@pytest.mark.parametrize(
    ("error", "code"),
    [("expired_token", "login-late"), ("access_denied", "provider-refused"), ("x", "provider-refused")],
)
def test_a_device_login_ends_as_the_provider_says(laptop: Laptop, fake: FakeProvider, error: str, code: str) -> None:
    """Without another question."""
    fake.device = ["authorization_pending", error, "authorization_pending"]
    with pytest.raises(IdentityError) as refusal:
        device(laptop, fake)
    assert refusal.value.code == code
    assert len(fake.asks("/token")) == 2


def test_a_provider_that_has_gone_is_told_from_a_code_that_nobody_typed(laptop: Laptop, fake: FakeProvider) -> None:
    """It is asked until the code has ended, and then named."""
    fake.invitation = {"expires_in": 1}
    fake.metadata = {"token_endpoint": "http://127.0.0.1:1/token"}
    with pytest.raises(IdentityError) as refusal:
        device(laptop, fake)
    assert refusal.value.code == "provider-unreachable"


@pytest.mark.parametrize(
    "invitation",
    [
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "https://idp.example.com/\x1b[2J"},
        {"verification_uri": forge.DROP},
        {"user_code": "A\nB"},
        {"user_code": ""},
        {"device_code": forge.DROP},
        {"expires_in": forge.DROP},
        {"expires_in": True},
    ],
)
def test_invitations_that_could_mislead_are_not_shown(
    laptop: Laptop, fake: FakeProvider, invitation: Mapping[str, object]
) -> None:
    """Web addresses and codes of printable characters only, with an end."""
    fake.invitation = invitation
    with pytest.raises(IdentityError) as error:
        device(laptop, fake)
    assert error.value.code == "provider-malformed"


def test_a_complete_page_that_is_no_web_address_is_left_out(laptop: Laptop, fake: FakeProvider) -> None:
    """The code can be typed all the same."""
    fake.invitation = {"verification_uri_complete": "file:///etc/passwd"}
    laptop.configure(fake.issuer)
    somebody = Somebody(browses=False)
    log_in(laptop.settings, laptop.places, Manner(somebody, wait=lambda _: None))
    assert [invitation.page_with_code for invitation in somebody.invitations] == [None]
