"""From what an administrator asks for to a finished certificate."""

from __future__ import annotations

import ipaddress
import re
import secrets
from dataclasses import dataclass
from typing import Final

from hoopjump.cli.flaws import Flaw
from hoopjump.decision.certificate import CertificateError, parse_certificate, verify_ca_signature
from hoopjump.errors import HoopjumpError
from hoopjump.handoff.issue import HOST, USER, CertificateSpec, Signer, issue, options

# What a login through hoopjump can make use of; agent and X11 forwarding and user-rc are closed on the bastion.
FORWARDING_AND_TERMINAL: Final = ("permit-port-forwarding", "permit-pty")

# The characters that a principals line may hold; others could be issued, and no bastion would let them in.
_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9._@:|+-]+\Z")
_OPTION_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*(@[a-z0-9.-]+)?\Z")
_FLAGS: Final = ("verify-required",)
_WITH_VALUE: Final = ("source-address", "force-command")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for; options are still in the form ``name`` or ``name=value``."""

    subject: bytes
    principals: tuple[str, ...]
    key_id: str | None
    window: tuple[int, int]
    extensions: tuple[str, ...]
    critical_options: tuple[str, ...]
    serial: int | None
    host: bool


def certificate_for(wishes: Wishes, signer: Signer, flaw: Flaw | None, now: int) -> tuple[CertificateSpec, bytes]:
    """The description and the blob of the certificate; raises :class:`HoopjumpError`.

    Without a flaw the result is read back as the bastion will read it, before anybody gets to see it.
    """
    spec = _spec(wishes)
    if flaw:
        spec = flaw.spec(spec, now)
        return spec, flaw.blob(issue(spec, flaw.signer(signer)))
    blob = issue(spec, signer)
    try:
        certificate = parse_certificate(blob)
    except CertificateError as error:
        raise HoopjumpError(f"the certificate would be refused: {error}") from error
    if not verify_ca_signature(certificate):
        raise HoopjumpError("the CA key made a signature that does not verify")
    return spec, blob


def _spec(wishes: Wishes) -> CertificateSpec:
    if not wishes.principals:
        raise HoopjumpError("a certificate without a principal is refused everywhere", "give --principal NAME")
    for name in wishes.principals:
        if not _PRINCIPAL.match(name):
            raise HoopjumpError(
                f"the principal {name!a} cannot be used", "allowed are letters, digits and . _ @ : | + -"
            )
    key_id = wishes.key_id if wishes.key_id is not None else wishes.principals[0]
    if not key_id.isprintable():
        raise HoopjumpError(f"the key ID {key_id!a} holds control characters")
    critical = _options(wishes.critical_options)
    for name, value in critical.items():
        _check_critical(name, value)
    return CertificateSpec(
        public_key=wishes.subject,
        key_id=key_id,
        principals=wishes.principals,
        valid_after=wishes.window[0],
        valid_before=wishes.window[1],
        # A key revocation list names certificates by serial, and 0 means that there is none.
        serial=wishes.serial if wishes.serial is not None else secrets.randbelow(2**63) + 1,
        kind=HOST if wishes.host else USER,
        critical_options=options(critical),
        extensions=options(_options(wishes.extensions)),
    )


def _options(given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in given:
        name, _, value = item.partition("=")
        if not _OPTION_NAME.match(name):
            raise HoopjumpError(f"{name!a} is not the name of an option")
        if name in found:
            raise HoopjumpError(f"the option {name} is given twice")
        found[name] = value
    return found


def _check_critical(name: str, value: str) -> None:
    if name not in (*_FLAGS, *_WITH_VALUE):
        raise HoopjumpError(
            f"sshd knows no critical option {name!a} and would refuse the certificate",
            f"it knows {', '.join((*_WITH_VALUE, *_FLAGS))}; --flaw unknown-critical-option makes a wrong one",
        )
    if name in _FLAGS and value:
        raise HoopjumpError(f"the critical option {name} takes no value")
    if name in _WITH_VALUE and not value:
        raise HoopjumpError(f"the critical option {name} needs a value")
    if name == "source-address":
        for part in value.split(","):
            try:
                # addr_match_cidr_list: host bits that are set make sshd refuse the certificate.
                ipaddress.ip_network(part, strict=True)
            except ValueError:
                raise HoopjumpError(f"source-address: {part!a} is not an address or a network") from None
