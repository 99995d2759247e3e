"""An authority, and handoffs that it made."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoopjump.handoff.delegation import Handoff, mint
from hoopjump.handoff.issue import PrivateKeySigner


@pytest.fixture
def signer() -> PrivateKeySigner:
    """A handoff authority."""
    return PrivateKeySigner(Ed25519PrivateKey.generate())


@pytest.fixture
def handoff(signer: PrivateKeySigner) -> Callable[..., Handoff]:
    """Mints for alice@x.io, for an hour from now, unless told otherwise."""

    def make(**changes: Any) -> Handoff:
        now = time.time()
        wanted: dict[str, Any] = {
            "identity": "alice@x.io",
            "cert_attribute": "principal",
            "extensions": ("permit-pty",),
            "now": now,
            "deadline": int(now) + 3600,
            "ref": "abcd2345",
        }
        return mint(signer, **(wanted | changes))

    return make
