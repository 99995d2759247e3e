"""What the administrator has decided, as the decision takes it: from the configuration and the file of user CAs."""

from __future__ import annotations

import ipaddress
import logging
import os
from pathlib import Path
from typing import Final

from hoopjump.config import Config, ConfigError
from hoopjump.decision.keys import parse_public_key
from hoopjump.decision.values import Accounts, Policy
from hoopjump.decision.wire import FormatError, read_key_line

AUTHORITIES_LIMIT: Final = 1024 * 1024

log = logging.getLogger(__name__)

_Version = tuple[int, int, int, int]


class PolicySource:
    """The policy in force. The file of user CAs is read anew when it changes, as sshd reads it at each login."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._path = config.trust.user_cas
        self._version: _Version | None = None
        self._policy = policy_of(config, frozenset())

    def current(self) -> Policy:
        """The policy as it is now.

        A file that cannot be read leaves no authority trusted, which is what sshd does with it. Raises nothing.
        """
        try:
            status = self._path.stat()
            version = (status.st_mtime_ns, status.st_ino, status.st_size, status.st_dev)
            if version != self._version:
                self._policy = policy_of(self._config, read_authorities(self._path))
                self._version = version
                log.info("%d user CAs are trusted (%s)", len(self._policy.trusted_cas), self._path)
        except (OSError, ConfigError) as error:
            if self._policy.trusted_cas or self._version is None:
                fault = f"{self._path}: {error.strerror}" if isinstance(error, OSError) else error
                log.error("no user CA is trusted: %s", fault)  # noqa: TRY400 - the trace would say nothing
            self._version = (0, 0, 0, 0)
            self._policy = policy_of(self._config, frozenset())
        return self._policy


def policy_of(config: Config, trusted_cas: frozenset[bytes]) -> Policy:
    """The policy that a configuration amounts to, with these authorities (wire blobs)."""
    gateway = config.gateway
    return Policy(
        trusted_cas=trusted_cas,
        cert_attribute=gateway.cert_attribute,
        user_attribute=gateway.user_attribute,
        accounts=Accounts(
            shared=frozenset(config.accounts.shared),
            own=config.accounts.own,
            map={name: frozenset(accounts) for name, accounts in config.accounts.map.items()},
        ),
        forward_targets=(f"{_bracketed(gateway.ssh_host)}:{gateway.ssh_port}",),
        max_login=int(config.session.max_login),
        session_use=config.tokens.session,
        forward_use=config.tokens.forward,
    )


def read_authorities(path: Path) -> frozenset[bytes]:
    """The keys of a TrustedUserCAKeys file (sshd_config(5)): one a line, with comments and blank lines.

    A line that is no key is passed over with a warning, together with all after it: auth2-pubkey.c user_cert_trusted_ca
    stops there, and no more shall be trusted here than there. Raises :class:`OSError` and :class:`ConfigError`.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC | os.O_NONBLOCK)) as file:
        data = file.read(AUTHORITIES_LIMIT + 1)
    if len(data) > AUTHORITIES_LIMIT:
        raise ConfigError(f"{path}: larger than {AUTHORITIES_LIMIT} bytes")
    found = set()
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        try:
            _, blob = read_key_line(line.strip(), AUTHORITIES_LIMIT, "key")
            found.add(parse_public_key(blob).blob)
        except FormatError as error:
            log.warning("%s:%d: %s; sshd reads no further, and neither do we", path, number, error)
            break
    return frozenset(found)


def _bracketed(host: str) -> str:
    """An IPv6 address as permitopen wants it (sshd_config(5) PermitOpen)."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
