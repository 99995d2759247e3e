"""Certificates that are wrong on purpose, for tests of whatever should refuse them.

A flaw changes the description of a certificate, who signs it, or the finished bytes; all else stays as it was asked
for, so that a refusal can have one cause only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from hoopjump.cli.signing_key import generate
from hoopjump.decision.wire import encode_string
from hoopjump.errors import HoopjumpError
from hoopjump.handoff.issue import HOST, CertificateSpec, PrivateKeySigner, Signer, issue, options

HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong, in a line, and the change that makes it so; ``now`` is in Unix seconds."""

    text: str
    spec: Callable[[CertificateSpec, int], CertificateSpec] = lambda spec, _: spec
    signer: Callable[[Signer], Signer] = lambda signer: signer
    blob: Callable[[bytes], bytes] = lambda blob: blob


@dataclass(frozen=True, slots=True)
class _Impostor:
    """Names one authority and signs as another."""

    public_key: bytes
    other: PrivateKeySigner

    def sign(self, data: bytes) -> bytes:
        return self.other.sign(data)


@dataclass(frozen=True, slots=True)
class _Sha1:
    """Signs with an RSA key of its own and SHA-1 (RFC 4253 section 6.6, ssh-rsa)."""

    key: rsa.RSAPrivateKey

    @property
    def public_key(self) -> bytes:
        return PrivateKeySigner(self.key).public_key

    def sign(self, data: bytes) -> bytes:
        signature = self.key.sign(data, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303  # the flaw itself
        return encode_string(b"ssh-rsa") + encode_string(signature)


@dataclass(frozen=True, slots=True)
class _Certified:
    """Names a certificate, not a key, as its authority."""

    signer: Signer

    @property
    def public_key(self) -> bytes:
        return issue(CertificateSpec(public_key=self.signer.public_key, key_id="ca"), self.signer)

    def sign(self, data: bytes) -> bytes:
        return self.signer.sign(data)


def _fresh() -> PrivateKeySigner:
    return PrivateKeySigner(ed25519.Ed25519PrivateKey.generate())


def _sha1_signer() -> _Sha1:
    key = generate("rsa-3072")
    assert isinstance(key, rsa.RSAPrivateKey)
    return _Sha1(key)


def _change(**fields: object) -> Callable[[CertificateSpec, int], CertificateSpec]:
    return lambda spec, _: dataclasses.replace(spec, **fields)  # type: ignore[arg-type]


def _critical(name: str, value: str) -> Callable[[CertificateSpec, int], CertificateSpec]:
    return lambda spec, _: dataclasses.replace(spec, critical_options=options({name: value}))


def _without(extension: str) -> Callable[[CertificateSpec, int], CertificateSpec]:
    return lambda spec, _: dataclasses.replace(
        spec, extensions=tuple(item for item in spec.extensions if item[0] != extension)
    )


def _first_principal(addition: str) -> Callable[[CertificateSpec, int], CertificateSpec]:
    def change(spec: CertificateSpec, _: int) -> CertificateSpec:
        first = spec.principals[0] if spec.principals else "user"
        return dataclasses.replace(spec, principals=(first + addition, *spec.principals[1:]))

    return change


_PTY: Final = ("permit-pty", b"")
_FORWARD: Final = ("permit-port-forwarding", b"")

FLAWS: Final[dict[str, Flaw]] = {
    "expired": Flaw(
        "ended an hour ago",
        lambda spec, now: dataclasses.replace(spec, valid_after=now - 2 * HOUR, valid_before=now - HOUR),
    ),
    "not-yet-valid": Flaw(
        "begins in an hour",
        lambda spec, now: dataclasses.replace(spec, valid_after=now + HOUR, valid_before=now + 2 * HOUR),
    ),
    "never-valid": Flaw(
        "ends before it begins",
        lambda spec, now: dataclasses.replace(spec, valid_after=now + HOUR, valid_before=now - HOUR),
    ),
    "no-principals": Flaw("names no principal", _change(principals=())),
    "empty-principal": Flaw("names a principal of no characters", _change(principals=("",))),
    "unsafe-principal": Flaw("has a space in its principal", _first_principal(" x")),
    "newline-principal": Flaw("has a line of its own in its principal", _first_principal("\nroot")),
    "nul-principal": Flaw("has a NUL byte in its principal", _first_principal("\0x")),
    "too-many-principals": Flaw("names 257 principals", _change(principals=tuple(f"user{n}" for n in range(257)))),
    "newline-key-id": Flaw("has a newline in its key ID", _change(key_id="alice\nAccepted publickey for root")),
    "wrong-ca": Flaw("is signed by an unknown CA", signer=lambda _: _fresh()),
    "forged": Flaw(
        "names the CA and is signed by another", signer=lambda signer: _Impostor(signer.public_key, _fresh())
    ),
    "bad-signature": Flaw("has one bit of its signature wrong", blob=lambda blob: blob[:-1] + bytes([blob[-1] ^ 1])),
    "sha1-signature": Flaw("is signed with SHA-1, by an RSA CA of its own", signer=lambda _: _sha1_signer()),
    "ca-is-certificate": Flaw("names a certificate as its CA", signer=_Certified),
    "host-type": Flaw("is a host certificate", _change(kind=HOST)),
    "no-type": Flaw("is neither for a user nor for a host", _change(kind=3)),
    "unknown-critical-option": Flaw(
        "has a critical option that nobody knows", _critical("hoopjump-test@localhost", "")
    ),
    "force-command": Flaw("has the critical option force-command", _critical("force-command", "/bin/true")),
    "source-address-elsewhere": Flaw("is for 192.0.2.1 only", _critical("source-address", "192.0.2.1/32")),
    "no-permit-pty": Flaw("lacks permit-pty", _without("permit-pty")),
    "no-permit-port-forwarding": Flaw("lacks permit-port-forwarding", _without("permit-port-forwarding")),
    "unsorted-options": Flaw("has its extensions in the wrong order", _change(extensions=(_PTY, _FORWARD))),
    "repeated-option": Flaw("has an extension twice", _change(extensions=(_PTY, _PTY))),
    "extension-data": Flaw("has data on permit-pty", _change(extensions=(("permit-pty", encode_string(b"x")),))),
    "trailing-bytes": Flaw("goes on after its end", blob=lambda blob: blob + b"\0"),
    "truncated": Flaw("is cut off", blob=lambda blob: blob[:-8]),
    "weak-key": Flaw("is for a key that would be refused (give one)"),
}


def find(name: str) -> Flaw:
    """The flaw of a name; raises :class:`HoopjumpError` with the names there are."""
    try:
        return FLAWS[name]
    except KeyError:
        raise HoopjumpError(f"no such flaw {name!r}", f"there are {', '.join(FLAWS)}") from None
