"""Which OpenSSH is this? Versions, read from what the programs say of themselves."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hoopjump.errors import HoopjumpError

_BANNER = re.compile(r"OpenSSH_(?:for_Windows_)?(\d{1,3})\.(\d{1,3})")
_NUMBER = re.compile(r"(\d{1,3})\.(\d{1,3})(?:p\d+)?\Z")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release of OpenSSH, such as 9.2; the portable patch level (p1) changes no option."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


OLDEST = Version(8, 2)


class VersionError(HoopjumpError):
    """No version can be read, or it is too old."""


def parse(text: str) -> Version:
    """The version in a banner (``OpenSSH_9.2p1 Debian-2…``) or a bare number (``9.2``, ``9.2p1``)."""
    found = _BANNER.search(text) or _NUMBER.match(text.strip())
    if not found:
        raise VersionError("no OpenSSH version to be seen", "give one with --version, such as 9.2")
    version = Version(int(found[1]), int(found[2]))
    if version < OLDEST:
        raise VersionError(f"OpenSSH {version} is too old; hoopjump needs {OLDEST} or later")
    return version


def installed(program: Path) -> Version:
    """The version of an installed ``sshd`` or ``ssh``.

    ``sshd -V`` prints it since 9.3 or so; older ones complain of the option and name their version all the same.
    """
    try:
        answer = subprocess.run([program, "-V"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VersionError(f"{program}: cannot be asked for its version", "install openssh-server") from error
    return parse((answer.stderr + answer.stdout).decode(errors="replace"))
