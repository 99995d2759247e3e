"""The rendered block, as a test looks at it."""

from __future__ import annotations

from typing import Any

from hoopjump.sshd.effective import Effective, parse
from hoopjump.sshd.rules import Expected
from hoopjump.sshd.snippets import render
from hoopjump.sshd.versions import Version

RELEASES = [Version(8, minor) for minor in range(2, 10)] + [
    *(Version(9, minor) for minor in range(10)),
    *(Version(10, minor) for minor in range(6)),
]
CA_FILE = "/etc/hoopjump/user_ca.pub"
TARGETS = ("gateway.x.io:12222",)


def block(version: Version, **values: Any) -> str:
    """The block of a release."""
    return render(version, **{"ca_file": CA_FILE, "forward_targets": TARGETS, **values})


def settings(text: str) -> list[str]:
    """Its lines without comments and indentation."""
    return [line.strip() for line in text.splitlines() if not line.strip().startswith("#")]


def effective(version: Version, **changes: str | None) -> Effective:
    """What sshd would say of a login when it is configured right, but for the changes (None: not printed at all)."""
    lines = settings(block(version, krl="/etc/hoopjump/revoked.krl"))[1:]
    lines += ["Subsystem sftp /usr/lib/openssh/sftp-server", "MaxStartups 200:30:400", "PermitUserEnvironment no"]
    lines += ["DisableForwarding no", "ChrootDirectory none", "LoginGraceTime 120"]
    if version >= Version(9, 8):
        lines += ["PerSourcePenalties crash:90 authfail:5", "PerSourcePenaltyExemptList 10.0.0.0/8"]
    kept = [line for line in lines if line.split()[0] not in changes]
    kept += [f"{keyword} {value}" for keyword, value in changes.items() if value is not None]
    return parse("\n".join(kept))


def expected(version: Version) -> Expected:
    """What hoopjump's configuration asks for."""
    return Expected(version, CA_FILE, "hoopjump-hook", TARGETS, 120.0)
