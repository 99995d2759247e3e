"""The proof that the sshd in front is set up for hoopjump. It reads, and runs `sshd -T` and the hook; nothing else."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from hoopjump.config import Config
from hoopjump.config.tokens import FILE
from hoopjump.findings import Finding
from hoopjump.sshd import compiled, effective, host, paths, rules
from hoopjump.sshd.effective import Connection
from hoopjump.sshd.rules import Expected
from hoopjump.sshd.versions import Version

# Where the units take their credentials from.
SECRETS: Final = tuple(
    Path("/etc/hoopjump", name) for name in ("gateway-api-key", "handoff-ca", "ca-user-key", "ca-token-key")
)


def forward_targets(config: Config) -> tuple[str, ...]:
    """The gateway's SSH server as PermitOpen has it: sshd compares it letter by letter with what a client asks for."""
    name = config.gateway.ssh_host
    try:
        bracketed = ipaddress.ip_address(name).version == 6
    except ValueError:
        bracketed = False
    return (f"{f'[{name}]' if bracketed else name}:{config.gateway.ssh_port}",)


def check(
    config: Config,
    config_path: Path,
    version: Version,
    *,
    sshd: Path,
    config_file: Path | None,
    logins: Sequence[Connection],
    administrators: Sequence[Connection],
) -> Iterator[Finding]:
    """All findings; ``config_path`` is hoopjump's own file, ``config_file`` sshd's, None for the usual one.

    Raises :class:`~hoopjump.sshd.effective.EffectiveError` when sshd cannot read its configuration.
    """
    rootless = config.sshd.rootless
    owners = frozenset({0, os.getuid()} if rootless else {0})
    section = config.sshd
    expected = Expected(
        version, str(config.trust.user_cas), section.hook_user, forward_targets(config), section.login_grace
    )
    for connection in logins:
        found = effective.ask(sshd, config_file, connection)
        yield from rules.check_login(found, expected)
        words = rules.hook_words(found)
        if words:
            user = found.one("AuthorizedPrincipalsCommandUser")
            yield from paths.check_hook(words, connection.user, user, rootless=rootless)
            if os.access(words[0], os.R_OK):
                yield compiled.check_compiled(Path(words[0]), owners)
        revoked = found.one("RevokedKeys")
        if revoked != "none":
            yield paths.check_revocation_list(Path(revoked), owners)
        yield host.check_account(connection.user, rootless=rootless)
        if found.one("UsePAM").lower() != "yes" and os.access(host.SHADOW, os.R_OK):
            yield host.check_unlocked(connection.user, host.SHADOW.read_text())
        for administrator in administrators:
            beside = effective.ask(sshd, config_file, administrator)
            yield from rules.check_administrator(beside, found, administrator.user)
    yield paths.check_ca_file(config.trust.user_cas, owners)
    for name, path, harm in _trusted_files(config, config_path):
        yield paths.check_file(name, path, owners, harm)
    if not rootless:
        yield paths.check_secrets(SECRETS, owners)
    daemon = None if rootless else host.unit_property("User")
    if daemon:
        yield from paths.check_readable(daemon, _read_by_the_daemon(config, config_path))
        if config.tokens.issuer:
            yield paths.check_keys_directory(config.daemon.keys_dir, daemon)
    if not rootless:
        yield host.check_processes_visible(host.MOUNTS.read_text(), host.unit_property("ProtectProc"))


def _trusted_files(config: Config, config_path: Path) -> Iterator[tuple[str, Path, str]]:
    """What the daemon and its sessions rely on as it stands: name, path, and what a change of it would do."""
    yield "configuration", config_path, "decides what hoopjump does"
    yield "gateway.known_hosts", config.gateway.known_hosts, "can be the gateway"
    if config.gateway.ca_file:
        yield "gateway.ca_file", config.gateway.ca_file, "can be the gateway"
    if config.gateway.directory_file:
        yield "gateway.directory_file", config.gateway.directory_file, "can be anybody"
    yield "handoff.ssh", config.handoff.ssh, "has every session"
    for word in config.handoff.relay.split():
        if word.startswith("/"):
            yield "handoff.relay", Path(word), "can cut every session short"
    if config.handoff.uses_hoop:
        yield "handoff.hoop", config.handoff.hoop, "has the tokens of users"


def _read_by_the_daemon(config: Config, config_path: Path) -> Iterator[Path]:
    yield config_path
    yield config.trust.user_cas
    issuers = config.tokens.issuer
    yield from (Path(section.keys.removeprefix(FILE)) for section in issuers if section.keys.startswith(FILE))
    gateway = config.gateway
    of_issuers = (path for section in issuers for path in (section.ca_file, section.revoked))
    others = (gateway.ca_file, gateway.directory_file, *of_issuers)
    yield from (path for path in others if path is not None)
