"""The targets. Each is a function that fails when what its docstring promises does not hold for some bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from hoopjump import hook
from hoopjump.daemon import wire
from hoopjump.decision import sshsig
from hoopjump.decision.certificate import CertificateError, parse_certificate, read_certificate, verify_ca_signature
from hoopjump.decision.decide import decide, wanted_lookups
from hoopjump.decision.jwk import KeySetError, parse_key_set
from hoopjump.decision.token import TokenError, verify
from hoopjump.decision.values import (
    Access,
    Answer,
    Found,
    LoginRequest,
    Lookup,
    Missing,
)
from hoopjump.decision.wire import FormatError
from tests.decision.forge import CA, string
from tests.fuzz import seeds
from tests.hostile.certificates.forge import CLIENT, NOW, PRINCIPAL, Fresh
from tests.hostile.certificates.login import POLICY, USERS, login
from tests.hostile.tokens import forge as tokens


def told(text: str) -> None:
    """What goes to a log or to a person is printable and bounded."""
    assert text.isprintable(), text
    assert len(text) < 1000, text


def token(data: bytes) -> None:
    """A token is verified, and holds now, or is a TokenError.

    After a NUL come a header and claims, parted by another, which are signed: what stands behind the signature.
    """
    if data[:1] == b"\0":
        head, _, body = data[1:].partition(b"\0")
        data = tokens.token(body, head)
    try:
        found = verify(data, tokens.ISSUERS, tokens.NOW)
    except TokenError as refused:
        told(refused.detail)
        return
    assert found.begins <= tokens.NOW < found.ends
    assert found.user
    assert found.subject


def decided(raw: bytes) -> None:
    """A login with a certificate that may not be one; a user there may be is found."""
    verdict = login(raw)
    if verdict.access is Access.ALLOW:
        assert not USERS.keys().isdisjoint(parse_certificate(raw).principals)
    assert (verdict.line is None) == (verdict.access is Access.DENY)
    for check in verdict.trace:
        assert check.detail.isprintable()


def certificate(data: bytes) -> None:
    """A certificate is read or is a CertificateError; nobody makes one that holds and that no authority signed.

    What comes after an S is signed here: what stands behind the signature.
    """
    if data[:1] == b"S":
        data = data[1:] + string(CA.sign(data[1:]))
        decided(data)
        return
    try:
        found = parse_certificate(data)
    except CertificateError as refused:
        told(str(refused))
    else:
        # Who may sign anything is an authority of its own, which is not one of ours.
        ours = found.ca_key in POLICY.trusted_cas
        assert not (ours and verify_ca_signature(found)) or found.signed in seeds.signed()
    try:
        read_certificate(data)
    except CertificateError as refused:
        told(str(refused))
    decided(data)


def wire_format(data: bytes) -> None:
    """A frame's body is a message, or a WireError here and a ProtocolError at the hook.

    What the daemon takes says the same to the hook, and comes out as it went in.
    """
    try:
        answer = hook.decode(data)
    except hook.ProtocolError:
        answer = None
    try:
        message = wire.decode(data)
    except wire.WireError:
        return
    expected: dict[str, list[bytes]] = {"v": [str(message.version).encode()]}
    for key, value in message.pairs:
        expected.setdefault(key, []).append(value)
    assert answer == expected
    if message.version == wire.VERSION:
        assert wire.encode(message.pairs)[4:] == data


OPTION = rb'(restrict|pty|port-forwarding|permitopen="[A-Za-z0-9.:\[\]_-]+:[0-9]{1,5}")'
LINE = re.compile(rb"(" + OPTION + rb"(," + OPTION + rb")* )?[A-Za-z0-9._@:|+-]+")


def principals_line(data: bytes) -> None:
    """The hook prints a line only where it is one of ours, and every line that the daemon makes.

    The bytes are a line, and the principals, extensions, account and targets of logins, parted by newlines.
    """
    assert not hook.well_formed(data) or LINE.fullmatch(data)
    names, extensions, target, *_ = [*data.split(b"\n"), b"", b"", b""]
    principals = b"".join(map(string, names.split(b"\0")))
    options = b"".join(string(name) + string(b"") for name in sorted(set(extensions.split(b"\0"))))
    policy = POLICY
    with suppress(ValueError):
        policy = replace(POLICY, forward_targets=(target.decode("utf-8", "replace"),))
    try:
        found = parse_certificate(Fresh(principals=principals, extensions=options).blob)
    except CertificateError:
        return
    for user in (Found(USERS[PRINCIPAL]), Missing()):
        answers: dict[Lookup, Answer] = dict.fromkeys(wanted_lookups(found, policy), user)
        verdict = decide(LoginRequest("hoop", CLIENT), found, answers, policy, NOW)
        assert verdict.line is None or hook.well_formed(verdict.line.encode()), verdict.line


def jwks(data: bytes) -> None:
    """A key set is read or is a KeySetError; each key verifies something, or has a flaw; every name is answered."""
    try:
        found = parse_key_set(data)
    except KeySetError as refused:
        told(str(refused))
        return
    for key in found.keys:
        assert (key.flaw is None) == bool(key.algorithms)
        assert key.primitive or key.flaw
        told(key.why)
    for kid in (None, "", "nobody", *(key.kid for key in found.keys)):
        try:
            found.find(kid)
        except TokenError as refused:
            told(refused.detail)


def detached_signature(data: bytes) -> None:
    """A signature is read or is a FormatError, in its armor and out of it; nobody makes one for a key of ours."""
    for read in (sshsig.read_armored, sshsig.parse):
        try:
            found = read(data)
        except FormatError as refused:
            told(str(refused))
            continue
        if found.key.blob in seeds.signing_keys() and sshsig.verify(found, seeds.MESSAGE):
            assert found.namespace == seeds.NAMESPACE


@dataclass(frozen=True, slots=True)
class Target:
    """``check`` must hold for any bytes; ``seeds`` makes those to begin with; ``longest`` bounds them, in bytes."""

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    longest: int


TARGETS: Final = {
    "token": Target(token, seeds.tokens, 4096),
    "certificate": Target(certificate, seeds.certificates, 4096),
    "wire": Target(wire_format, seeds.messages, 4096),
    "principals": Target(principals_line, seeds.lines, 4096),
    "jwks": Target(jwks, seeds.key_sets, 8192),
    "sshsig": Target(detached_signature, seeds.signatures, 4096),
}
