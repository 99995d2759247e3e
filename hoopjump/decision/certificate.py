"""OpenSSH certificates, read strictly.

The format is OpenSSH's PROTOCOL.certkeys; what is refused follows sshkey.c cert_parse and auth-options.c
cert_option_list, and goes further where sshd or `ssh-keygen -L` would only pass something on:

- text is UTF-8 and holds no NUL (a C string could end before it);
- critical options and extensions stand in order of their names, each once ("must be lexically ordered");
- a permission (``permit-*``, ``no-touch-required``, ``verify-required``) carries no data, ``force-command`` and
  ``source-address`` carry one string;
- numbers are in their shortest form, and the base64 around it all has no spare bits.

An empty nonce, a reserved field in use, a FIDO key as authority and any date are fine. Who signed, when it is valid
and for whom is not looked at here: that is :func:`hoopjump.decision.decide.decide`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from hoopjump.decision.keys import (
    KEY_TYPES,
    PublicKey,
    fingerprint,
    parse_public_key,
    parse_signature,
    read_key_fields,
    verify_signature,
)
from hoopjump.decision.moments import FOREVER
from hoopjump.decision.wire import FormatError, Reader, read_key_line

# A certificate reaches the hook as one word of its argv, which Linux bounds at 131,072 bytes (MAX_ARG_STRLEN).
CERTIFICATE_LIMIT: Final = 131072 // 4 * 3
TEXT_LIMIT: Final = 131072 + 4096
MAX_PRINCIPALS: Final = 256  # sshkey.h SSHKEY_CERT_MAX_PRINCIPALS

_SUFFIX: Final = "-cert-v01@openssh.com"
# A FIDO type's own @openssh.com moves to the end: sk-ssh-ed25519@openssh.com, sk-ssh-ed25519-cert-v01@openssh.com.
_PLAIN_TYPES: Final = {plain.removesuffix("@openssh.com") + _SUFFIX: plain for plain in KEY_TYPES}
_FLAGS: Final = frozenset({"no-touch-required", "verify-required"})
_STRINGS: Final = frozenset({"force-command", "source-address"})


class CertificateError(FormatError):
    """Not a certificate that we accept; ``field`` names the part at fault."""


class CertificateType(IntEnum):
    """PROTOCOL.certkeys, SSH_CERT_TYPE_*."""

    USER = 1
    HOST = 2


Options = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A well-formed certificate, its signature not yet verified.

    ``key`` is the certified key and ``ca`` the one that signed; times are Unix seconds in uint64 (:data:`FOREVER` for
    no end); option data are the raw bytes of each option. ``signed`` is the part of ``blob`` that is signed.
    """

    blob: bytes
    key_type: str
    key: PublicKey
    serial: int
    type: CertificateType
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical_options: Options
    extensions: Options
    ca: PublicKey
    signature_algorithm: str
    signed: bytes
    signature: bytes

    @property
    def public_key(self) -> bytes:
        """Wire blob of the plain certified key."""
        return self.key.blob

    @property
    def ca_key(self) -> bytes:
        """Wire blob of the CA's public key."""
        return self.ca.blob

    @property
    def source_address(self) -> str | None:
        """The list of addresses in the critical option ``source-address``."""
        for name, data in self.critical_options:
            if name == "source-address":
                return Reader(data).text(name)
        return None

    def permits(self, extension: str) -> bool:
        """Whether an extension, such as ``permit-pty``, is there."""
        return any(name == extension for name, _ in self.extensions)


def read_certificate(text: bytes) -> Certificate:
    """Read a certificate from text: ``type base64 [comment]`` on a line, or bare base64.

    At most :data:`TEXT_LIMIT` bytes; the type on the line must be the certificate's. Raises :class:`CertificateError`.
    """
    try:
        key_type, blob = read_key_line(text, TEXT_LIMIT, "certificate")
    except FormatError as error:
        raise CertificateError(error.field, error.message) from error
    certificate = parse_certificate(blob)
    if key_type not in (None, certificate.key_type):
        raise CertificateError("key type", f"the line says {key_type!a}, the certificate {certificate.key_type!a}")
    return certificate


def parse_certificate(blob: bytes) -> Certificate:
    """Read a certificate from its wire encoding; raises :class:`CertificateError` and nothing else."""
    if len(blob) > CERTIFICATE_LIMIT:
        raise CertificateError("certificate", f"is larger than {CERTIFICATE_LIMIT} bytes")
    try:
        return _parse(blob)
    except FormatError as error:
        raise CertificateError(error.field, error.message) from error


def _parse(blob: bytes) -> Certificate:
    reader = Reader(blob)
    key_type = reader.text("key type")
    plain = _PLAIN_TYPES.get(key_type)
    if plain is None:
        kind = "a plain key, not a certificate" if key_type in KEY_TYPES else "not supported"
        raise FormatError("key type", f"{key_type[:64]!a} is {kind}")
    reader.string("nonce")
    key = read_key_fields(reader, plain)
    serial = reader.uint64("serial")
    number = reader.uint32("certificate type")
    if number not in tuple(CertificateType):
        raise FormatError("certificate type", f"{number} is neither user (1) nor host (2)")
    key_id = reader.text("key ID")
    principals = _principals(reader.string("principals"))
    valid_after, valid_before = reader.uint64("valid after"), reader.uint64("valid before")
    critical_options = _options(reader.string("critical options"), "critical options")
    extensions = _options(reader.string("extensions"), "extensions")
    reader.string("reserved")
    ca = _ca(reader.string("signature key"))
    signed = reader.since(0)
    signature = reader.string("signature")
    reader.end("certificate")
    return Certificate(
        blob=blob,
        key_type=key_type,
        key=key,
        serial=serial,
        type=CertificateType(number),
        key_id=key_id,
        principals=principals,
        valid_after=valid_after,
        valid_before=valid_before,
        critical_options=critical_options,
        extensions=extensions,
        ca=ca,
        signature_algorithm=parse_signature(ca, signature).algorithm,
        signed=signed,
        signature=signature,
    )


def _principals(packed: bytes) -> tuple[str, ...]:
    reader = Reader(packed)
    principals: list[str] = []
    while not reader.at_end:
        if len(principals) == MAX_PRINCIPALS:
            raise FormatError("principals", f"are more than {MAX_PRINCIPALS}")
        principals.append(reader.text("principals"))
    return tuple(principals)


def _options(packed: bytes, field: str) -> Options:
    reader = Reader(packed)
    options: list[tuple[str, bytes]] = []
    before = b""
    while not reader.at_end:
        name = reader.text(field)
        data = reader.string(field)
        # strcmp order, as ssh-keygen.c cert_ext_cmp sorts; the code points of UTF-8 text would sort the same.
        if options and name.encode() <= before:
            raise FormatError(field, f"{name[:64]!a} is {'there twice' if name.encode() == before else 'out of order'}")
        before = name.encode()
        _check_data(name, data, field)
        options.append((name, data))
    return tuple(options)


def _check_data(name: str, data: bytes, field: str) -> None:
    if name.startswith("permit-") or name in _FLAGS:
        if data:
            raise FormatError(field, f"{name[:64]!a} carries data")
    elif name in _STRINGS and field == "critical options":
        reader = Reader(data)
        reader.text(f"{field}: {name}")
        reader.end(f"{field}: {name}")


def _ca(blob: bytes) -> PublicKey:
    if Reader(blob).text("signature key") in _PLAIN_TYPES:
        raise FormatError("signature key", "is itself a certificate")
    try:
        return parse_public_key(blob)
    except FormatError as error:
        raise FormatError(f"signature key: {error.field}", error.message) from error


def verify_ca_signature(certificate: Certificate) -> bool:
    """Whether the key that the certificate names as its authority signed it. Says nothing of who that is."""
    signature = parse_signature(certificate.ca, certificate.signature)
    return verify_signature(certificate.ca, signature, certificate.signed)


__all__ = [
    "CERTIFICATE_LIMIT",
    "FOREVER",
    "MAX_PRINCIPALS",
    "TEXT_LIMIT",
    "Certificate",
    "CertificateError",
    "CertificateType",
    "fingerprint",
    "parse_certificate",
    "read_certificate",
    "verify_ca_signature",
]
