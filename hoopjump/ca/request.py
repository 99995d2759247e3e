"""What is asked for: the body of ``POST /ssh/certificates``, read strictly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hoopjump.ca.refusal import RefusedError
from hoopjump.decision.decide import RSA_SMALLEST
from hoopjump.decision.jose import TokenError, parse_object
from hoopjump.decision.keys import PublicKey, read_public_key
from hoopjump.decision.reasons import Reason
from hoopjump.decision.wire import FormatError

BODY_LIMIT: Final = 64 * 1024

_MEMBERS: Final[dict[str, type]] = {
    "token": str,
    "public_key": str,
    "proof": str,
    "time": int,
    "embed_token": bool,
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request; nothing of it has been verified, but its key can be certified."""

    token: bytes
    key: PublicKey
    proof: bytes
    moment: int
    embed: bool


def parse_request(body: bytes) -> Request:
    """Read a request; raises :class:`RefusedError`."""
    if len(body) > BODY_LIMIT:
        raise RefusedError(Reason.REQUEST_TOO_LARGE)
    try:
        members = parse_object(body)
    except TokenError as error:
        raise RefusedError(Reason.REQUEST_MALFORMED, error.detail) from error
    members = {"embed_token": False, **members}
    unknown = sorted(members.keys() - _MEMBERS.keys())
    if unknown:
        raise RefusedError(Reason.REQUEST_MALFORMED, f"unknown member {unknown[0][:64]!a}")
    for name, kind in _MEMBERS.items():
        if type(members.get(name)) is not kind:
            raise RefusedError(Reason.REQUEST_MALFORMED, f"`{name}` is missing or no {kind.__name__}")
    return Request(
        token=_ascii(members, "token"),
        key=_key(_ascii(members, "public_key")),
        proof=_ascii(members, "proof"),
        moment=members["time"],
        embed=members["embed_token"],
    )


def _ascii(members: dict[str, Any], name: str) -> bytes:
    try:
        return str(members[name]).encode("ascii")
    except UnicodeEncodeError:
        raise RefusedError(Reason.REQUEST_MALFORMED, f"`{name}` is not ASCII") from None


def _key(line: bytes) -> PublicKey:
    """The key to certify, if it may be: what `hoopjump cert issue` refuses is refused here too."""
    words = line.split(maxsplit=1)
    if words and b"-cert-v01@openssh.com" in words[0]:
        raise RefusedError(Reason.PUBLIC_KEY_CERTIFICATE)
    try:
        key = read_public_key(line)
    except FormatError as error:
        raise RefusedError(Reason.PUBLIC_KEY_MALFORMED, str(error)) from error
    if key.type == "ssh-rsa" and key.bits < RSA_SMALLEST:
        raise RefusedError(Reason.PUBLIC_KEY_WEAK, f"RSA of {key.bits} bits")
    return key
