"""What `hoopjump gateway check` looks at: each check is one finding, and a failed one stops only what rests on it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from hoopjump.config import GatewaySection
from hoopjump.decision.keys import fingerprint, read_public_key
from hoopjump.decision.wire import FormatError
from hoopjump.errors import HoopjumpError
from hoopjump.findings import Finding, Level
from hoopjump.gateway import ssh_server
from hoopjump.gateway.client import GatewayClient, GatewayError
from hoopjump.gateway.models import ServerInfoReply, SshServerReply, UserInfoReply, read

_LOGIN_LASTS: Final = {
    "local": "12 hours",
    "oidc": "as long as the identity provider's access token, which it does not renew for this",
    "saml": "as long as the identity provider said, else 60 minutes",
}


@dataclass(frozen=True, slots=True)
class Local:
    """What this bastion has: blobs of the user CAs and of the handoff CA, or why they cannot be read."""

    user_cas: frozenset[bytes] | HoopjumpError
    handoff_ca: bytes | HoopjumpError


def run(client: GatewayClient, section: GatewaySection, local: Local) -> Iterator[Finding]:
    """All checks in order; never raises."""
    yield _guarded("api", lambda: _reachable(client, section))
    yield _guarded("version", lambda: _version(client))
    server = _settings(client)
    yield _guarded("api-key", lambda: _key(client, server))
    if isinstance(server, SshServerReply):
        yield _mapping(server, section)
        yield from _user_cas(server, local)
        yield _handoff_ca(server, local)
    else:
        # Not to be allowed to look is no fault of the gateway's.
        forbidden = isinstance(server, GatewayError) and server.status == 403
        yield Finding(Level.WARNING if forbidden else Level.FAILURE, "ssh-server", server.message, server.hint)
    yield from _host_keys(server, section)
    yield _guarded("five-minutes", lambda: _five_minutes(client))


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except HoopjumpError as error:
        return Finding(Level.FAILURE, name, error.message, error.hint)


def _settings(client: GatewayClient) -> SshServerReply | HoopjumpError:
    try:
        return ssh_server.settings(client)
    except HoopjumpError as error:
        return error


def _reachable(client: GatewayClient, section: GatewaySection) -> Finding:
    client.get("healthz")
    if section.in_clear:
        return Finding(
            Level.WARNING,
            "api",
            f"{section.api_url} answers, without TLS: the API key crosses the network in clear",
            "serve the API over https and change gateway.api_url",
        )
    return Finding(Level.OK, "api", f"{section.api_url} answers")


def _version(client: GatewayClient) -> Finding:
    info = read(ServerInfoReply, client.get("serverinfo"))
    return Finding(Level.OK, "version", f"{info.version or 'not told'}, logins by {info.auth_method or 'not told'}")


def _key(client: GatewayClient, server: SshServerReply | HoopjumpError) -> Finding:
    """A key's power: an auditor's reads what is needed and can do nothing (no write, kill, approval or provision)."""
    info = read(UserInfoReply, client.get("userinfo"))
    whose = f"the key of '{info.name or info.id}'"
    auditor = "give hoopjump an API key of the group auditor"
    if info.is_admin or info.role == "admin":
        return Finding(Level.WARNING, "api-key", f"{whose} is an admin's: it reads the targets' passwords", auditor)
    if not isinstance(server, GatewayError):
        return Finding(Level.OK, "api-key", f"{whose} is an auditor's")
    if server.status != 403:
        return Finding(Level.WARNING, "api-key", f"{whose} is valid; what it may do is not known: {server.message}")
    if not info.groups:
        return Finding(
            Level.WARNING,
            "api-key",
            f"{whose} has no group: it can grant any user any access, and sees no sessions",
            auditor,
        )
    return Finding(
        Level.WARNING,
        "api-key",
        f"{whose} is of {', '.join(info.groups)}: it can grant access, and sees only what these groups see",
        auditor,
    )


def _mapping(server: SshServerReply, section: GatewaySection) -> Finding:
    ours = (section.cert_attribute, section.user_attribute)
    theirs = server.user_mapping and (server.user_mapping.cert_attr, server.user_mapping.user_attr)
    if theirs == ours:
        return Finding(Level.OK, "mapping", f"{ours[0]} names {ours[1]}, here as there")
    there = f"{theirs[0]} names {theirs[1]}" if theirs else "nothing"
    return Finding(
        Level.FAILURE,
        "mapping",
        f"here {ours[0]} names {ours[1]}, at the gateway {there}: one certificate could be two people",
        "set gateway.cert_attribute and gateway.user_attribute as at the gateway",
    )


def _user_cas(server: SshServerReply, local: Local) -> Iterator[Finding]:
    name = "user-cas"
    if isinstance(local.user_cas, HoopjumpError):
        yield Finding(Level.FAILURE, name, local.user_cas.message, local.user_cas.hint)
        return
    if not isinstance(local.handoff_ca, HoopjumpError) and local.handoff_ca in local.user_cas:
        yield Finding(
            Level.FAILURE,
            name,
            "the handoff CA is among trust.user_cas: its certificates are for the gateway only",
            "remove it from trust.user_cas",
        )
    try:
        trusted = {authority.blob for authority in ssh_server.authorities(server)}
    except HoopjumpError as error:
        yield Finding(Level.FAILURE, name, error.message, error.hint)
        return
    missing = sorted(fingerprint(blob) for blob in local.user_cas - trusted)
    if not local.user_cas:
        yield Finding(Level.FAILURE, name, "trust.user_cas holds no CA, so nobody can log in", "hoopjump gateway sync")
    elif missing:
        yield Finding(
            Level.FAILURE,
            name,
            f"the gateway does not trust {', '.join(missing)}: no ProxyJump with its certificates",
            "add the CA in the gateway's settings, or take the gateway's with `hoopjump gateway sync`",
        )
    else:
        yield Finding(Level.OK, name, f"the gateway trusts {_count(len(local.user_cas), 'user CA')} of this bastion")


def _handoff_ca(server: SshServerReply, local: Local) -> Finding:
    if isinstance(local.handoff_ca, HoopjumpError):
        return Finding(
            Level.WARNING,
            "handoff-ca",
            f"not looked at: {local.handoff_ca.message}",
            "--handoff-ca names its public key",
        )
    print_ = fingerprint(local.handoff_ca)
    try:
        if local.handoff_ca in {authority.blob for authority in ssh_server.authorities(server)}:
            return Finding(Level.OK, "handoff-ca", f"the gateway trusts {print_}")
    except HoopjumpError as error:
        return Finding(Level.FAILURE, "handoff-ca", error.message, error.hint)
    return Finding(
        Level.FAILURE,
        "handoff-ca",
        f"the gateway does not trust {print_}: no session can start",
        "hoopjump gateway trust",
    )


def _host_keys(server: SshServerReply | HoopjumpError, section: GatewaySection) -> Iterator[Finding]:
    try:
        presented = ssh_server.presented_key(section)
    except HoopjumpError as error:
        yield Finding(Level.FAILURE, "host-key", error.message, error.hint)
        return
    print_ = fingerprint(presented)
    if isinstance(server, SshServerReply):
        yield _guarded("host-key", lambda: _stored(server, presented))
    else:
        yield Finding(Level.WARNING, "host-key", f"{print_} is presented; what the gateway holds cannot be read")
    yield _guarded("known-hosts", lambda: _known(section, presented))


def _stored(server: SshServerReply, presented: bytes) -> Finding:
    stored = ssh_server.host_key(server)
    if stored == presented:
        return Finding(Level.OK, "host-key", f"{fingerprint(presented)} is held and presented")
    return Finding(
        Level.FAILURE,
        "host-key",
        f"the gateway holds {fingerprint(stored)}, but {fingerprint(presented)} is presented: another server answers",
        "see gateway.ssh_host and gateway.ssh_port, and what stands between here and there",
    )


def _known(section: GatewaySection, presented: bytes) -> Finding:
    """Asks ssh-keygen(1), which knows hashed names, patterns and markers as ssh does."""
    path, pattern = section.known_hosts, ssh_server.host_pattern(section)
    hint = "hoopjump gateway sync"
    if not path.is_file():
        return Finding(Level.FAILURE, "known-hosts", f"{path} is not there", hint)
    command = ["ssh-keygen", "-F", pattern, "-f", str(path)]
    search = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    keys = set()
    for line in search.stdout.splitlines():
        if not line.startswith((b"#", b"@")):
            _, _, key = line.partition(b" ")
            try:
                keys.add(read_public_key(key).blob)
            except FormatError:
                continue
    if presented in keys:
        return Finding(Level.OK, "known-hosts", f"{path} has {fingerprint(presented)} for {pattern}")
    if keys:
        held = ", ".join(sorted(map(fingerprint, keys)))
        return Finding(Level.FAILURE, "known-hosts", f"{path} has {held} for {pattern}, another key is presented", hint)
    return Finding(Level.FAILURE, "known-hosts", f"{path} has no key for {pattern}", hint)


def _five_minutes(client: GatewayClient) -> Finding:
    info = read(ServerInfoReply, client.get("serverinfo"))
    lasts = _LOGIN_LASTS.get(info.auth_method)
    until = f"; with {info.auth_method} it lasts {lasts}" if lasts else ""
    return Finding(
        Level.OK,
        "five-minutes",
        f"the gateway cuts SSH sessions after five minutes for users whose own login to it has run out{until}",
        "tell users to log in to the gateway (web page or `hoop login`) before long sessions",
    )


def _count(number: int, noun: str) -> str:
    return f"the one {noun}" if number == 1 else f"all {number} {noun}s"
