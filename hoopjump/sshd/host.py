"""The machine around sshd: login accounts, and whether the daemon can see root's processes."""

from __future__ import annotations

import pwd
import re
import stat
import subprocess
from pathlib import Path
from typing import Final

from hoopjump.findings import Finding, failure, ok, warning

MOUNTS: Final = Path("/proc/self/mounts")
SHADOW: Final = Path("/etc/shadow")
_NO_SHELL: Final = ("nologin", "false", "true", "sync")


def check_account(name: str, *, rootless: bool) -> Finding:
    """A login account: the session hook runs through its shell, which may read files of its home first."""
    rule = f"account {name}"
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        command = f"useradd --create-home --home-dir /var/lib/{name} --shell /bin/sh {name}"
        return failure(rule, "there is no such account", f"{command}; chown root:root /var/lib/{name}")
    shell = Path(entry.pw_shell or "/bin/sh")
    if shell.name in _NO_SHELL:
        return failure(rule, f"its shell is {shell}, which cannot start the hook", f"usermod --shell /bin/sh {name}")
    if rootless:
        return ok(rule, "rootless: an account of its own is not looked for")
    if entry.pw_uid == 0:
        return failure(rule, "is root", "use an ordinary account")
    home = Path(entry.pw_dir)
    try:
        status = home.stat()
    except OSError:
        return ok(rule, f"{shell}, no home")
    if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        text = f"its home {home} can be written by others than root; {shell.name} may run files in it before the hook"
        return warning(rule, text, f"chown root:root {home}; chmod 0755 {home}; usermod --shell /bin/sh {name}")
    return ok(rule, f"{shell}, home {home} belongs to root")


def check_unlocked(name: str, shadow: str) -> Finding:
    """Without PAM, sshd refuses an account whose password is locked (auth.c allowed_user, platform_locked_account).

    ``shadow`` is the content of /etc/shadow. Tools that make system accounts lock them in this way.
    """
    rule = f"password of {name}"
    for line in shadow.splitlines():
        entry = line.split(":")
        if entry[0] == name and len(entry) > 1 and entry[1].startswith("!"):
            text = "is locked, and with UsePAM no sshd refuses such an account"
            return failure(rule, text, f"usermod --password '*' {name}, which no password matches either")
    return ok(rule, "not locked")


def check_processes_visible(mounts: str, unit_property: str | None) -> Finding:
    """proc(5) hidepid and systemd.exec(5) ProtectProc: hoopjumpd tells logins apart by root's sshd processes.

    ``mounts`` is the content of /proc/self/mounts; ``unit_property`` is ProtectProc of the running unit, or None.
    """
    name = "root's processes"
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 4 or fields[1:3] != ["/proc", "proc"]:
            continue
        found = re.search(r"(?:\A|,)hidepid=(\w+)", fields[3])
        if found and found[1] not in ("0", "off"):
            group = re.search(r"(?:\A|,)gid=(\d+)", fields[3])
            if group is None:
                text = f"/proc is mounted with hidepid={found[1]}, so hoopjumpd cannot see them"
                hint = (
                    "mount it with gid=GROUP as well, and add that group to SupplementaryGroups= of hoopjumpd.service"
                )
                return failure(name, text, hint)
            text = f"/proc is mounted with hidepid={found[1]} for all but group {group[1]}"
            return warning(name, text, f"SupplementaryGroups={group[1]} in hoopjumpd.service")
    if unit_property not in (None, "", "default"):
        text = f"ProtectProc={unit_property} of hoopjumpd.service hides them"
        return failure(name, text, "ProtectProc=default in hoopjumpd.service")
    return ok(name, "visible")


def unit_property(name: str) -> str | None:
    """A property of hoopjumpd.service; None where systemd does not run or the unit is not there."""
    if not Path("/run/systemd/system").is_dir():
        return None
    try:
        answer = subprocess.run(
            ["systemctl", "show", "--property", name, "--value", "hoopjumpd.service"],  # noqa: S607
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode(errors="replace").strip() if answer.returncode == 0 else None
