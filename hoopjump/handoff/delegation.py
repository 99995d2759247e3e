"""Mints the certificate with which one session goes on to the gateway."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hoopjump.decision.certificate import Certificate
from hoopjump.decision.values import CertAttribute
from hoopjump.decision.wire import encode_string
from hoopjump.errors import HoopjumpError
from hoopjump.handoff.checked import issue_checked
from hoopjump.handoff.issue import CertificateSpec, IssueError, Signer, options

# The gateway allows no difference between the clocks.
BACKDATE: Final = 60
# With cert_attr=key_id the gateway compares the principal with the login name and asks nothing else of it.
KEY_ID_PRINCIPAL: Final = "hoopjump"


class DelegationError(HoopjumpError):
    """No certificate, or not the one that was asked for; the message is for the log."""


@dataclass(frozen=True, slots=True)
class Handoff:
    """A private key that exists here only, and the certificate for it."""

    key: Ed25519PrivateKey
    certificate: Certificate

    @property
    def principal(self) -> str:
        """The one principal, which is also the login name at the gateway."""
        return self.certificate.principals[0]


def mint(
    signer: Signer,
    *,
    identity: str,
    cert_attribute: CertAttribute,
    extensions: Iterable[str],
    now: float,
    deadline: int,
    ref: str,
) -> Handoff:
    """A fresh Ed25519 key and its certificate, from a minute ago to ``deadline`` (Unix seconds, exclusive).

    ``identity`` stands where the gateway's user mapping looks (``cert_attribute``); of ``extensions`` the ``permit-*``
    ones are taken over. ``ref`` (of the login) goes into the key ID where that is free. Raises
    :class:`DelegationError`.
    """
    if deadline <= now:
        raise DelegationError("the login's deadline has passed")
    key = Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    by_key_id = cert_attribute == "key_id"
    spec = CertificateSpec(
        public_key=encode_string(b"ssh-ed25519") + encode_string(raw),
        key_id=identity if by_key_id else f"hoopjump login {ref}",
        principals=(KEY_ID_PRINCIPAL if by_key_id else identity,),
        valid_after=int(now) - BACKDATE,
        valid_before=deadline,
        serial=int.from_bytes(os.urandom(8), "big"),
        extensions=options({name: "" for name in extensions if name.startswith("permit-")}),
    )
    try:
        return Handoff(key, issue_checked(spec, signer))
    except IssueError as error:
        raise DelegationError(f"no handoff certificate: {error.message}") from error
