"""The block of ~/.ssh/config that has ssh log in when it must, and putting it there without harm to what is there."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hoopjump.identity import private_files
from hoopjump.identity.errors import IdentityError
from hoopjump.identity.settings import LoginSettings

BEGIN: Final = "# >>> hoopjump login: written by `hoopjump login --install`, which replaces all of it\n"
END: Final = "# <<< hoopjump login\n"

_BLOCK: Final = re.compile(rb"^# >>> hoopjump login\b.*?^# <<< hoopjump login$\n?\n?", re.MULTILINE | re.DOTALL)
_MARK: Final = re.compile(rb"^# (>>>|<<<) hoopjump login\b", re.MULTILINE)


def render(settings: LoginSettings, command: list[str]) -> str:
    """The block; ``command`` is the argv that logs in when it must. Raises :class:`IdentityError`.

    ssh takes the first value that it finds, so the block stands first; its last line ends its Match, so that what
    followed nothing before follows nothing now (ssh_config(5)).
    """
    if not settings.hosts:
        raise IdentityError(
            "config-unsafe", "there are no hosts to log in for", "set hosts in login.toml, or give --host NAME"
        )
    lines = [
        BEGIN.rstrip("\n"),
        f"Match host {','.join(settings.hosts)} exec {_argument(shlex.join(command))}",
        f"    IdentityFile {_file(settings.key)}",
    ]
    if settings.ca_url is not None:
        lines.append(f"    CertificateFile {_file(settings.certificate)}")
    if settings.send_token:
        lines.append("    SendEnv HOOPJUMP_TOKEN")
    return "\n".join([*lines, "Match all", END])


def _file(path: Path) -> str:
    """The name of a file, in which ssh puts variables (ssh_config(5), ENVIRONMENT VARIABLES); none is meant."""
    if "${" in str(path):
        raise IdentityError("config-unsafe", f"{str(path)!a} cannot be written into ssh's configuration")
    return _argument(str(path))


def _argument(text: str) -> str:
    """An argument in quotes; ``%`` begins a token of ssh's, and quotes within cannot be trusted to every release."""
    if '"' in text or "\\" in text or not text.isprintable():
        raise IdentityError("config-unsafe", f"{text!a} cannot be written into ssh's configuration")
    return f'"{text.replace("%", "%%")}"'


@dataclass(frozen=True, slots=True)
class Change:
    """What a file is and would be; ``path`` is the file itself where links lead to it."""

    path: Path
    before: bytes
    after: bytes

    @property
    def needed(self) -> bool:
        """Whether anything would be different."""
        return self.before != self.after

    def diff(self) -> str:
        """The difference, for people."""
        before, after = (data.decode(errors="backslashreplace").splitlines() for data in (self.before, self.after))
        return "\n".join(difflib.unified_diff(before, after, str(self.path), str(self.path), n=2, lineterm=""))


def plan(path: Path, block: str) -> Change:
    """The change that has a file begin with the block, in place of an earlier one; raises :class:`IdentityError`."""
    target = path.resolve()
    try:
        before = target.read_bytes()
        owner = target.stat().st_uid
    except FileNotFoundError:
        before, owner = b"", os.geteuid()
    if owner != os.geteuid():
        raise IdentityError("config-unsafe", f"{path} belongs to uid {owner}", "run this as its owner")
    rest = _BLOCK.sub(b"", before)
    if _MARK.search(rest) or len(_BLOCK.findall(before)) > 1:
        raise IdentityError(
            "config-unsafe", f"{path}: the lines that mark our block have been changed", "remove what is left of it"
        )
    after = block.encode() + (b"\n" + rest if rest else b"")
    return Change(target, before, after)


def carry_out(change: Change) -> None:
    """Write the file in one step, with the mode it had; raises :class:`IdentityError` when it changed meanwhile."""
    path = change.path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        unchanged = path.read_bytes() == change.before
    except FileNotFoundError:
        mode, unchanged = 0o600, not change.before
    if not unchanged:
        raise IdentityError("config-unsafe", f"{path} has been changed meanwhile", "try again")
    private_files.write(path, change.after, mode)
