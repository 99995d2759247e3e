"""Keys made by ssh-keygen, and secrets as files."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hoopjump.decision.keys import read_public_key


def keygen(path: Path) -> Path:
    """A new Ed25519 key; returns the private key's path."""
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)],
        stdin=subprocess.DEVNULL,
        check=True,
    )
    return path


def public_key(path: Path) -> bytes:
    """The blob of the public key beside a private one."""
    return read_public_key(path.with_suffix(".pub").read_bytes()).blob


def secret(path: Path, text: str) -> str:
    """A 0600 file with a secret; returns the reference to it."""
    path.write_text(text + "\n")
    path.chmod(0o600)
    return f"file:{path}"
