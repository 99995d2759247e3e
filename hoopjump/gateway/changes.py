"""What hoopjump takes from the gateway and what it adds there, worked out before anything is written.

``PUT /serverconfig/misc`` replaces the whole object: a section left out stops that server, a host key left out is
made anew. So what was read is written back as it came, unknown fields included, with one line more.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

from hoopjump.config import GatewaySection
from hoopjump.decision.keys import fingerprint
from hoopjump.errors import HoopjumpError
from hoopjump.gateway import ssh_server
from hoopjump.gateway.client import GatewayClient, GatewayError
from hoopjump.gateway.models import MiscReply, SshServerReply, read
from hoopjump.gateway.ssh_server import Authority

_HEADER: Final = "# Written by `hoopjump gateway sync`.\n"

# After a failed start the gateway leaves its SSH server down until that part of the configuration changes.
_REVIVE: Final = "in the gateway's settings clear the SSH server's listen address, save, set it again, save"


class ChangeError(HoopjumpError):
    """A change that would do harm, or that did not come out as it should."""


@dataclass(frozen=True, slots=True)
class TrustedAuthorities:
    """The file of user CAs as the gateway's settings make it, and the CAs that were left out because they mint."""

    text: str
    taken: tuple[Authority, ...]
    left_out: tuple[Authority, ...]


def known_hosts(server: SshServerReply, section: GatewaySection) -> str:
    """The whole known_hosts file; raises :class:`ChangeError` when another key is presented than the gateway holds.

    The API has told which key is right, over TLS; a server that presents another is not the gateway.
    """
    stored, presented = ssh_server.host_key(server), ssh_server.presented_key(section)
    if stored != presented:
        raise ChangeError(
            f"the gateway holds the host key {fingerprint(stored)}, but {fingerprint(presented)} is presented at"
            f" {ssh_server.host_pattern(section)}: another server answers there",
            "see gateway.ssh_host and gateway.ssh_port",
        )
    return f"{_HEADER}{ssh_server.host_pattern(section)} {ssh_server.key_line(Authority(stored, ''))}\n"


def user_authorities(server: SshServerReply, handoff_ca: bytes) -> TrustedAuthorities:
    """The gateway's trusted CAs without ``handoff_ca`` and without other bastions' handoff CAs.

    sshd that trusted a handoff CA would take a certificate meant for the gateway. Raises :class:`ChangeError` when
    no CA is left: nobody could log in with that file.
    """
    taken: list[Authority] = []
    left_out: list[Authority] = []
    for authority in ssh_server.authorities(server):
        (left_out if authority.blob == handoff_ca or authority.is_handoff else taken).append(authority)
    if not taken:
        raise ChangeError(
            "the gateway trusts no CA of users, and an empty trust.user_cas would keep everybody out",
            "add the user CA in the gateway's settings",
        )
    lines = "".join(f"{ssh_server.key_line(authority)}\n" for authority in taken)
    return TrustedAuthorities(_HEADER + lines, tuple(taken), tuple(left_out))


@dataclass(frozen=True, slots=True)
class TrustPlan:
    """The gateway's configuration as it is and as it shall be; ``needed`` is False when the CA is trusted already."""

    before: dict[str, Any]
    after: dict[str, Any]
    line: str

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after


def plan_trust(client: GatewayClient, handoff_ca: Authority) -> TrustPlan:
    """Work out how the gateway comes to trust the handoff CA; ``client`` may be an auditor's or an admin's.

    Raises :class:`GatewayError`, :class:`SshServerError`, and :class:`ChangeError` when the SSH server takes no
    certificates yet: a first CA would replace the server that takes passwords.
    """
    before = client.get("serverconfig", "misc")
    server = read(MiscReply, before).ssh_server_config
    if server is None or not server.listen_address or not isinstance(before, dict):
        raise ssh_server.SshServerError("the gateway's SSH server is off", "switch it on in the gateway's settings")
    if not server.trusted_cas or server.user_mapping is None:
        raise ChangeError(
            "the gateway's SSH server takes no certificates yet, but passwords; a first CA would end that",
            "add the user CA and the user mapping in the gateway's settings first",
        )
    line = ssh_server.key_line(handoff_ca)
    after = copy.deepcopy(before)
    if handoff_ca.blob not in {authority.blob for authority in ssh_server.authorities(server)}:
        after["ssh_server_config"]["trusted_cas"].append(line)
    return TrustPlan(before, after, line)


def carry_out_trust(client: GatewayClient, section: GatewaySection, plan: TrustPlan) -> bytes:
    """Write the plan with an admin's client; the blob of the host key that is presented before and after.

    The gateway starts its SSH server anew, which ends every live connection to it. Raises :class:`ChangeError` when
    the configuration has changed since it was planned, or does not read as planned afterwards, and when the SSH
    server does not come back with its host key.
    """
    host_key = ssh_server.presented_key(section)
    if client.get("serverconfig", "misc") != plan.before:
        raise ChangeError("the gateway's configuration has changed just now; nothing was written", "try again")
    try:
        client.put("serverconfig", "misc", body=plan.after)
    except GatewayError as error:
        if error.status == 500:
            raise ChangeError(f"{error.message}; the gateway may have stopped its SSH server", _REVIVE) from error
        raise
    if client.get("serverconfig", "misc") != plan.after:
        raise ChangeError(
            "the gateway took the change, but its configuration does not read as written",
            "look at the gateway's settings (the SSH server's part)",
        )
    try:
        now = ssh_server.presented_key(section)
    except ssh_server.SshServerError as error:
        raise ChangeError(
            f"the gateway trusts the CA, but its SSH server does not answer any more: {error.message}",
            _REVIVE,
        ) from error
    if now != host_key:
        raise ChangeError(
            f"the SSH server's host key was {fingerprint(host_key)} and is {fingerprint(now)} now",
            "hoopjump gateway sync",
        )
    return host_key
