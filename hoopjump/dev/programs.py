"""Where the programs of a private bastion are: installed, or unpacked under ``.cache/root`` by ``./dev``.

``HOOPJUMP_SSHD`` and ``HOOPJUMP_SSH`` name an sshd and an ssh to be used instead, of another version for example.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from hoopjump.dev import accounts
from hoopjump.sshd import versions

CHECKOUT: Final = Path(__file__).resolve().parents[2]
UNPACKED: Final = CHECKOUT / ".cache" / "root"

PENALTIES: Final = versions.Version(9, 8)
"""The first sshd with PerSourcePenalties."""


class ProgramMissingError(Exception):
    """A program is not on this machine; the message says how to get it."""


def find(name: str, *patterns: str) -> Path:
    """A program by its name on PATH, else the first match of the patterns (without leading ``/``).

    Patterns are looked for on the machine first, then among what was unpacked. Raises :class:`ProgramMissingError`.
    """
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    for root in (Path("/"), UNPACKED):
        for pattern in patterns:
            found = sorted(root.glob(pattern))
            if found:
                return found[-1]
    raise ProgramMissingError(f"{name} is missing; `./dev setup` gets it")


def sshd() -> Path:
    """The unmodified sshd, which must be started by its absolute path."""
    return _chosen("HOOPJUMP_SSHD") or find("sshd", "usr/sbin/sshd")


def ssh() -> Path:
    """The client that people use, and that sessions go on to the gateway with."""
    return _chosen("HOOPJUMP_SSH") or find("ssh")


def sshd_helpers() -> dict[str, Path]:
    """From 9.8 on sshd is several programs with compiled-in paths: keyword and path of those that lie elsewhere."""
    if _chosen("HOOPJUMP_SSHD"):
        # As `make` leaves them, one beside the other.
        directory = sshd().parent
    elif sshd().is_relative_to(UNPACKED):
        directory = UNPACKED / "usr/lib/openssh"
    else:
        return {}
    places = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}
    found = {keyword: directory / name for keyword, name in places.items()}
    return {keyword: path for keyword, path in found.items() if path.exists()}


def sshd_lenience() -> tuple[str, ...]:
    """From 9.8 on sshd refuses an address after a few failed logins, and everybody here comes from one address."""
    return ("PerSourcePenaltyExemptList 127.0.0.1",) if versions.installed(sshd()) >= PENALTIES else ()


def _chosen(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    if not Path(value).is_absolute() or not os.access(value, os.X_OK):
        raise ProgramMissingError(f"{variable}={value} is not the absolute path of a program")
    return Path(value)


def reachable(path: Path) -> Path:
    """The name by which every uid can reach a file of the checkout."""
    if accounts.inside() and accounts.CHECKOUT.exists() and path.is_relative_to(CHECKOUT):
        return accounts.CHECKOUT / path.relative_to(CHECKOUT)
    return path


def python() -> Path:
    """The interpreter with hoopjump's packages, by a name that every uid can use."""
    return reachable(Path(sys.prefix).resolve() / "bin" / "python")
