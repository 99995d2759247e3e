"""What sshd would do for one login: its effective configuration, as `sshd -T -C` prints it.

Keywords are lower-case up to OpenSSH 10.3 and CamelCase from 10.4 on, so they are compared without case.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hoopjump.errors import HoopjumpError

# Any criterion of a Match line whose attribute is not given is false, so all of them are given.
UNKNOWN_CLIENT = "192.0.2.1"  # RFC 5737: no real address


class EffectiveError(HoopjumpError):
    """sshd does not tell its configuration; the message is its own."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Whom to ask for: account, and the attributes that a Match line can look at."""

    user: str
    host: str = "client.invalid"
    address: str = UNKNOWN_CLIENT
    local_address: str = "127.0.0.1"
    local_port: int = 22

    def criteria(self) -> str:
        """The argument of ``sshd -C``."""
        return (
            f"user={self.user},host={self.host},addr={self.address},laddr={self.local_address},lport={self.local_port}"
        )


@dataclass(frozen=True, slots=True)
class Effective:
    """Keywords (lower-case) and their values, a line of sshd's output each."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def all(self, keyword: str) -> Sequence[str]:
        """Every line of a keyword; none when sshd does not print it."""
        return self.values.get(keyword.lower(), ())

    def one(self, keyword: str, *aliases: str) -> str:
        """The first line of a keyword or one of its older names; ``none`` when sshd prints none of them."""
        for name in (keyword, *aliases):
            if lines := self.all(name):
                return lines[0]
        return "none"


def parse(text: str) -> Effective:
    """Read the output of ``sshd -T``."""
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        keyword, _, value = line.strip().partition(" ")
        if keyword:
            values.setdefault(keyword.lower(), []).append(value.strip())
    return Effective(values)


def ask(sshd: Path, config_file: Path | None, connection: Connection) -> Effective:
    """The effective configuration for a connection; raises :class:`EffectiveError`."""
    arguments = [str(sshd), "-T", *(["-f", str(config_file)] if config_file else []), "-C", connection.criteria()]
    try:
        answer = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EffectiveError(f"{sshd}: cannot be run: {error}", "name it with --sshd") from error
    if answer.returncode != 0:
        said = answer.stderr.decode(errors="replace").strip().splitlines()
        raise EffectiveError(
            f"sshd does not accept its configuration: {said[0] if said else f'exit status {answer.returncode}'}",
            "run as root: sshd -t",
        )
    return parse(answer.stdout.decode(errors="surrogateescape"))
