"""What the certificate SSH server makes of a certificate: the checks at authentication, and whose it is afterwards."""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass

import asyncssh
from asyncssh.public_key import SSHOpenSSHCertificate, decode_ssh_certificate
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hoopjump.dev.gateway.model import Store, User

_USER_CERTIFICATE = 1
FOREVER = 0xFFFFFFFFFFFFFFFF


class StartError(Exception):
    """The SSH server cannot start with this configuration; the text is Go's."""


class Refused(Exception):  # noqa: N818 - an outcome
    """The certificate does not authenticate; clients never learn why."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A certificate that authenticated; ``valid_before`` in seconds since 1970."""

    key: asyncssh.SSHKey
    key_id: str
    principals: tuple[str, ...]
    valid_before: int
    may_have_sessions: bool
    may_forward: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """The SSH server's configuration, read."""

    listen_address: str
    host_key: asyncssh.SSHKey
    authorities: frozenset[bytes]
    cert_attr: str
    user_attr: str


def new_host_key() -> str:
    """A new host key in the form of ``hosts_key``."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return base64.b64encode(pem).decode()


def read_host_key(text: str) -> asyncssh.SSHKey:
    """The host key of ``hosts_key``: base64 of an unencrypted Ed25519 key in OpenSSH's format, nothing else."""
    try:
        pem = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise StartError("failed decoding ssh hosts key: illegal base64 data") from error
    if not pem.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----"):
        raise StartError("failed parsing ssh hosts key: ssh: no key found")
    try:
        key = asyncssh.import_private_key(pem)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise StartError("failed parsing ssh hosts key: ssh: this private key is passphrase protected") from error
    if key.get_algorithm() != "ssh-ed25519":
        raise StartError("failed parsing ssh hosts key: not an ed25519 key")
    return key


def read_authority(line: str) -> bytes:
    """The key blob of a CA line, which may carry options and a comment."""
    words = line.split()
    for index, word in enumerate(words[:-1]):
        if not word.startswith(("ssh-", "ecdsa-", "sk-")):
            continue
        try:
            blob = base64.b64decode(words[index + 1], validate=True)
            asyncssh.import_public_key(f"{word} {words[index + 1]}")
        except (ValueError, asyncssh.KeyImportError):
            continue
        return blob
    raise StartError(f'failed building cert checker: failed parsing trusted CA "{line}": ssh: no key found')


def read_settings(config: dict[str, object]) -> Settings:
    """Read the stored section; raises :class:`StartError`."""
    mapping = config.get("user_mapping")
    lines = config.get("trusted_cas")
    return Settings(
        listen_address=str(config["listen_address"]),
        host_key=read_host_key(str(config["hosts_key"])),
        authorities=frozenset(read_authority(str(line)) for line in (lines if isinstance(lines, list) else [])),
        cert_attr=str(mapping.get("cert_attr")) if isinstance(mapping, dict) else "",
        user_attr=str(mapping.get("user_attr")) if isinstance(mapping, dict) else "",
    )


def authenticate(settings: Settings, login: str, blob: bytes, now: float | None = None) -> Accepted:
    """Check a certificate in the gateway's order; raises :class:`Refused`.

    ``source-address`` is read and not enforced; any other critical option is fatal.
    """
    moment = time.time() if now is None else now
    try:
        # Reading also verifies the CA's signature, and refuses unknown critical options.
        certificate = decode_ssh_certificate(blob)
    except asyncssh.KeyImportError as error:
        raise Refused(str(error)) from error
    if not isinstance(certificate, SSHOpenSSHCertificate):
        raise Refused("only certificate-based public key authentication is accepted")
    if certificate._cert_type != _USER_CERTIFICATE:
        raise Refused("not a user certificate")
    if certificate.signing_key.public_data not in settings.authorities:
        raise Refused("unrecognized authority")
    if "force-command" in certificate.options:
        raise Refused("unsupported critical option")
    principals = tuple(certificate.principals)
    if principals and login not in principals:
        raise Refused(f"principal {login!r} is not among {principals!r}")
    if moment < certificate._valid_after:
        raise Refused("not yet valid")
    if certificate._valid_before != FOREVER and moment >= certificate._valid_before:
        raise Refused("expired")
    if not principals and settings.cert_attr != "key_id":
        raise Refused("certificate has no principals")
    return Accepted(
        key=certificate.key,
        key_id=certificate._key_id,
        principals=principals,
        valid_before=certificate._valid_before,
        may_have_sessions=bool(certificate.options.get("permit-pty")),
        may_forward=bool(certificate.options.get("permit-port-forwarding")),
    )


def owner(store: Store, settings: Settings, certificate: Accepted) -> User | str:
    """Whose certificate it is, or the sentence that refuses it.

    The first principal that is anybody's wins, whatever the login name.
    """
    values = (certificate.key_id,) if settings.cert_attr == "key_id" else certificate.principals
    for value in values:
        user = store.user_by(settings.user_attr, value)
        if user is None:
            continue
        if user.status != "active":
            return f'user is not active (status="{user.status}")'
        if certificate.valid_before != FOREVER and time.time() >= certificate.valid_before:
            return "certificate has already expired"
        return user
    return "unable to authenticate, certificate attribute does not match any user"
