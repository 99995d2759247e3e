"""What a handoff certificate grants, and that nothing else can come out of the mint."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoopjump.decision.certificate import CertificateType
from hoopjump.handoff.delegation import DelegationError, Handoff
from hoopjump.handoff.issue import PrivateKeySigner

Make = Callable[..., Handoff]


def test_it_has_one_principal_and_names_the_login(handoff: Make) -> None:
    """With the mapping on principals, the user's value is the one principal and the key ID tells of the login."""
    certificate = handoff().certificate
    assert certificate.type is CertificateType.USER
    assert certificate.principals == ("alice@x.io",)
    assert certificate.key_id == "hoopjump login abcd2345"


def test_the_key_id_names_the_user_where_the_gateway_looks_there(handoff: Make) -> None:
    """With the mapping on key IDs, the key ID is the user's value and the login name is a fixed one."""
    made = handoff(cert_attribute="key_id", identity="auth0|1 Alice's")
    assert made.certificate.key_id == "auth0|1 Alice's"
    assert made.principal == "hoopjump"


def test_it_begins_a_minute_ago_and_ends_at_the_deadline(handoff: Make) -> None:
    """The gateway allows no skew at the beginning, and no second more at the end."""
    certificate = handoff(now=1_700_000_000.9, deadline=1_700_000_100).certificate
    assert (certificate.valid_after, certificate.valid_before) == (1_700_000_000 - 60, 1_700_000_100)


def test_only_permissions_are_taken_over(handoff: Make) -> None:
    """Of the user's extensions the permit-* ones pass, sorted, and nothing that carries data or means more."""
    names = ("permit-pty", "jwt@x.io", "no-touch-required", "permit-X11-forwarding", "permit-agent-forwarding")
    extensions = handoff(extensions=names).certificate.extensions
    assert extensions == (("permit-X11-forwarding", b""), ("permit-agent-forwarding", b""), ("permit-pty", b""))


def test_the_users_token_stays_behind(handoff: Make) -> None:
    """The gateway would look at neither its audience nor its binding."""
    assert handoff(extensions=("jwt@hoopjump", "permit-pty")).certificate.extensions == (("permit-pty", b""),)


def test_every_handoff_has_its_own_key_and_serial(handoff: Make) -> None:
    """Two sessions share neither key nor serial."""
    first, second = handoff().certificate, handoff().certificate
    assert first.public_key != second.public_key
    assert first.serial != second.serial


@pytest.mark.parametrize("identity", ["", "a\0b"])
def test_an_identity_that_names_nobody_is_refused(handoff: Make, identity: str) -> None:
    """An empty identity, or one with a NUL, gives no certificate."""
    with pytest.raises(DelegationError):
        handoff(identity=identity)


def test_nothing_is_minted_after_the_deadline(handoff: Make) -> None:
    """A deadline that is now or earlier gives no certificate."""
    with pytest.raises(DelegationError, match="deadline"):
        handoff(now=1000.0, deadline=1000)


def test_a_signer_that_lies_about_its_key_is_found_out(
    handoff: Make, signer: PrivateKeySigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate whose signature does not fit the authority's public key is never handed out."""
    stranger = PrivateKeySigner(Ed25519PrivateKey.generate())
    monkeypatch.setattr(signer, "sign", stranger.sign)
    with pytest.raises(DelegationError, match="signature is wrong"):
        handoff()
