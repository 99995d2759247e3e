"""The gateway's SSH server as others see it: the keys it holds, the CAs it trusts, and the key it really presents."""

from __future__ import annotations

import base64
import binascii
import subprocess
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from hoopjump.config import GatewaySection
from hoopjump.decision.keys import KEY_TYPES, read_public_key
from hoopjump.decision.wire import FormatError, Reader
from hoopjump.errors import HoopjumpError
from hoopjump.gateway.client import GatewayClient
from hoopjump.gateway.models import MiscReply, SshServerReply, read

# What `gateway trust` writes behind the key. Another bastion's `gateway sync` knows by it that this CA is for no user.
HANDOFF_COMMENT: Final = "hoopjump handoff CA"

_SCAN_SECONDS: Final = 5


class SshServerError(HoopjumpError):
    """The gateway's SSH server is off, does not answer, or holds what cannot be used."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that the gateway trusts: the blob of its key, and the comment behind it."""

    blob: bytes
    comment: str

    @property
    def is_handoff(self) -> bool:
        """Whether some hoopjump mints handoff certificates with it (by its comment, which anybody could change)."""
        return self.comment.startswith(HANDOFF_COMMENT)


def settings(client: GatewayClient) -> SshServerReply:
    """The SSH server's settings; an admin's or auditor's key may read them.

    Raises :class:`GatewayError`, and :class:`SshServerError` when the SSH server is off.
    """
    server = read(MiscReply, client.get("serverconfig", "misc")).ssh_server_config
    if server is None or not server.listen_address:
        raise SshServerError("the gateway's SSH server is off", "switch it on in the gateway's settings")
    return server


def shared_key(server: SshServerReply) -> bytes:
    """The text of the private host key (OpenSSH format), which the gateway keeps in base64."""
    try:
        return base64.b64decode(server.hosts_key, validate=True)
    except binascii.Error as error:
        raise SshServerError("the gateway's host key is not base64") from error


def host_key(server: SshServerReply) -> bytes:
    """The blob of the public host key that belongs to the stored private one; raises :class:`SshServerError`."""
    try:
        key = load_ssh_private_key(shared_key(server), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The text of the exception could quote the key.
        raise SshServerError("the gateway's host key cannot be read") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SshServerError("the gateway's host key is not Ed25519, the only kind that it can use")
    return read_public_key(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)).blob


def authorities(server: SshServerReply) -> tuple[Authority, ...]:
    """The trusted CAs; a line may carry options before the key (as authorized_keys does), and a comment.

    Raises :class:`SshServerError` for a line without a key: the gateway's SSH server would not have started with it.
    """
    found = []
    for number, line in enumerate(server.trusted_cas, 1):
        words = line.split()
        start = next((index for index, word in enumerate(words) if word in KEY_TYPES), 0)
        try:
            key = read_public_key(" ".join(words[start : start + 2]).encode())
        except FormatError as error:
            raise SshServerError(f"trusted CA {number} of the gateway: {error}") from error
        found.append(Authority(key.blob, " ".join(words[start + 2 :])))
    return tuple(found)


def key_line(authority: Authority) -> str:
    """``type base64 comment``; what is not printable in the comment becomes ``?``, so that it stays one line."""
    kind = Reader(authority.blob).text("key type")
    comment = "".join(character if character.isprintable() else "?" for character in authority.comment)
    return f"{kind} {base64.b64encode(authority.blob).decode()} {comment}".rstrip(" ")


def presented_key(section: GatewaySection) -> bytes:
    """The blob of the host key that the SSH server proves to hold, by ssh-keyscan(1).

    Raises :class:`SshServerError` when none comes within some seconds.
    """
    place = f"{section.ssh_host}:{section.ssh_port}"
    # The server has an Ed25519 key only, and each further type would be a connection more.
    command = ["ssh-keyscan", "-T", str(_SCAN_SECONDS), "-t", "ed25519", "-p", str(section.ssh_port), "--"]
    try:
        scan = subprocess.run(
            [*command, section.ssh_host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * _SCAN_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise SshServerError("there is no ssh-keyscan here", "apt install openssh-client") from error
    except subprocess.TimeoutExpired as error:
        raise SshServerError(f"{place}: no host key within {2 * _SCAN_SECONDS} s") from error
    for line in scan.stdout.splitlines():
        _, _, key = line.partition(b" ")
        try:
            return read_public_key(key).blob
        except FormatError:
            continue
    raise SshServerError(
        f"{place}: no SSH server that presents an Ed25519 host key", "see gateway.ssh_host and gateway.ssh_port"
    )


def host_pattern(section: GatewaySection) -> str:
    """How known_hosts names the gateway (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    return section.ssh_host if section.ssh_port == 22 else f"[{section.ssh_host}]:{section.ssh_port}"
