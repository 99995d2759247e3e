"""Where the programs of a private bastion are: installed, or unpacked under ``.cache/root`` by ``./dev``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from hoopjump.dev import accounts

CHECKOUT: Final = Path(__file__).resolve().parents[2]
UNPACKED: Final = CHECKOUT / ".cache" / "root"


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
    return find("sshd", "usr/sbin/sshd")


def sshd_helpers() -> dict[str, Path]:
    """From 9.8 on sshd is several programs with compiled-in paths: keyword and path of those that were unpacked."""
    if not sshd().is_relative_to(UNPACKED):
        return {}
    places = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}
    found = {keyword: UNPACKED / "usr/lib/openssh" / name for keyword, name in places.items()}
    return {keyword: path for keyword, path in found.items() if path.exists()}


def reachable(path: Path) -> Path:
    """The name by which every uid can reach a file of the checkout."""
    if accounts.inside() and accounts.CHECKOUT.exists() and path.is_relative_to(CHECKOUT):
        return accounts.CHECKOUT / path.relative_to(CHECKOUT)
    return path


def python() -> Path:
    """The interpreter with hoopjump's packages, by a name that every uid can use."""
    return reachable(Path(sys.prefix).resolve() / "bin" / "python")
