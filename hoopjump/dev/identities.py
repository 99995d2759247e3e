"""Keys and certificates of a private bastion's people, right and deliberately wrong, made by ``ssh-keygen`` itself.

What is tested and shown must meet certificates that OpenSSH wrote, not ones that our own writer takes for right.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GOOD: Final = "-1m:+1h"
EXPIRED: Final = "-2h:-1h"
NOT_YET: Final = "+1h:+2h"


@dataclass(frozen=True, slots=True)
class Identity:
    """What ``ssh -i`` takes: a private key, and the certificate beside it, if there is one."""

    key: Path
    certificate: Path | None

    @property
    def public(self) -> Path:
        """The plain public key."""
        return self.key.with_suffix(".pub")


class Workshop:
    """Makes keys, CAs and certificates in a directory of its own (mode 0700)."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700)
        self.directory = directory
        self._serials = itertools.count(1)

    def key(self, name: str, kind: str = "ed25519") -> Identity:
        """A key pair by its name, made when it is first asked for; ``kind`` is what ``ssh-keygen -t`` takes."""
        path = self.directory / name
        if not path.exists():
            keygen("-q", "-t", kind, "-N", "", "-C", name, "-f", str(path))
        return Identity(path, None)

    def certificate(
        self,
        principals: Sequence[str],
        *,
        ca: str = "user_ca",
        key_id: str | None = None,
        valid: str = GOOD,
        host: bool = False,
        kind: str = "ed25519",
        extensions: Sequence[str] | None = None,
        options: Sequence[str] = (),
    ) -> Identity:
        """A fresh key with a certificate on it.

        ``valid`` is what ``ssh-keygen -V`` takes; ``extensions`` None means all of ssh-keygen's default ones;
        ``options`` are further ``-O`` arguments, such as ``critical:x=y``.
        """
        serial = next(self._serials)
        identity = self.key(f"id{serial}", kind)
        arguments = ["-q", "-s", str(self.key(ca).key), "-I", key_id if key_id is not None else f"id{serial}"]
        arguments += ["-z", str(serial), "-V", valid]
        if principals:
            arguments += ["-n", ",".join(principals)]
        if host:
            arguments.append("-h")
        if extensions is not None:
            arguments += ["-O", "clear"]
            arguments += [word for name in extensions for word in ("-O", name)]
        arguments += [word for option in options for word in ("-O", option)]
        keygen(*arguments, str(identity.public))
        return Identity(identity.key, identity.key.with_name(f"{identity.key.name}-cert.pub"))


def keygen(*arguments: str) -> str:
    """Run ssh-keygen and give its output; raises :class:`RuntimeError` with what it complained of."""
    done = subprocess.run(
        ["ssh-keygen", *arguments],  # noqa: S607 - the user's own, found as a user would
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"ssh-keygen {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
