"""The files that `hoopjump gateway sync` writes."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hoopjump.cli import files
from hoopjump.decision.keys import fingerprint
from hoopjump.gateway import ssh_server
from hoopjump.gateway.models import SshServerReply
from hoopjump.gateway.ssh_server import Authority

_FILE_LIMIT: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A file to write: ``shown`` are the texts that the diff may show, which for a private key are fingerprints."""

    path: Path
    data: bytes
    mode: int
    old: bytes
    shown: tuple[str, str]

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return self.old != self.data

    def diff(self) -> list[str]:
        """What would change, as lines of a unified diff."""
        before, after = (text.splitlines() for text in self.shown)
        name = str(self.path)
        return list(difflib.unified_diff(before, after, name, name, lineterm="")) if self.changed else []


def text_target(path: Path, text: str) -> Target:
    """A file of public text."""
    old = _old(path)
    return Target(path, text.encode(), files.PUBLIC, old, (old.decode("utf-8", "replace"), text))


def key_targets(path: Path, server: SshServerReply) -> tuple[Target, Target]:
    """The gateway's private host key, and its public one beside it."""
    key, blob = ssh_server.shared_key(server), ssh_server.host_key(server)
    old = _old(path)
    told = ("private key, not shown" if old else "", f"private key of {fingerprint(blob)}, not shown")
    public = text_target(path.with_name(f"{path.name}.pub"), f"{ssh_server.key_line(Authority(blob, 'gateway'))}\n")
    return Target(path, key, files.PRIVATE, old, told), public


def _old(path: Path) -> bytes:
    return files.read_bounded(str(path), _FILE_LIMIT) if path.exists() else b""
