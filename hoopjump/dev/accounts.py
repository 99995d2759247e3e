"""A private view of the machine, so that root can run a whole bastion without touching the machine.

:func:`enter` puts this process, and all it starts, into a mount namespace of its own with private copies of
``/etc/passwd``, ``group`` and ``shadow`` that have the accounts a bastion needs, and an empty ``/run`` and ``/dev``.
Nothing done there is seen outside, and it ends with its last process. Only the standard library is used, and
nothing else of ours: this file is meant to be read before it is run as root.

Sources: mount_namespaces(7), unshare(2), setns(2), mount(2).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PLACE: Final = Path("/run/hoopjump-dev")
"""Everything of ours; on the machine itself there is no such directory, so that it also says where we are."""

CHECKOUT: Final = PLACE / "checkout"
"""The checkout, for uids that cannot reach where it lies."""

_CLONE_NEWNS = 0x00020000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x2, 0x4, 0x8
_MS_BIND, _MS_MOVE, _MS_REC, _MS_PRIVATE = 0x1000, 0x2000, 0x4000, 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the private view. ``login`` ones have a shell, and a home that belongs to root."""

    name: str
    login: bool = False


ACCOUNTS: Final = (
    Account("sshd"),
    Account("postgres"),
    Account("mysql"),
    Account("hoopjump"),
    Account("hoopjump-hook"),
    Account("hoopjump-ca"),
    Account("hoop-agent", login=True),
    Account("hoop", login=True),
    Account("admin", login=True),
    Account("alice", login=True),
    # A login name that also names a resource role.
    Account("alice+web1", login=True),
    Account("bob", login=True),
    Account("carol", login=True),
)

_FIRST_ID = 61000


class PrivateViewError(Exception):
    """The kernel, or the container around us, does not let us have a private view."""


def inside() -> bool:
    """Whether this process lives in a private view."""
    return (PLACE / "private").exists()


def ids(account: str) -> tuple[int, int]:
    """The uid and gid of an account of the private view."""
    entry = pwd.getpwnam(account)
    return entry.pw_uid, entry.pw_gid


def home(account: str) -> Path:
    """The home directory that an account with a shell has in the private view."""
    return PLACE / "home" / account


def enter(checkout: Path) -> None:
    """Go into a private view; does nothing when already in one.

    ``checkout`` is made reachable as :data:`CHECKOUT` if other uids cannot reach it where it is. The process must be
    root's and have one thread. Raises :class:`PrivateViewError`.
    """
    if inside():
        return
    if not checkout.stat().st_mode & stat.S_IROTH or not (checkout / "dev").stat().st_mode & stat.S_IROTH:
        raise PrivateViewError(f"other accounts cannot read {checkout}: chmod -R go+rX {checkout}")
    # What is made from here on is for accounts of its own to read.
    os.umask(0o022)
    try:
        _leave_shared_mounts()
        _private_run()
        _private_proc()
        _private_dev()
        _private_accounts()
        if not _reachable_by_all(checkout.parent):
            CHECKOUT.mkdir()
            _mount(str(checkout), str(CHECKOUT), flags=_MS_BIND)
        (PLACE / "private").touch()
    except OSError as error:
        raise PrivateViewError(
            f"no private mount namespace can be had here ({error}); run this as an ordinary user instead"
        ) from error


def _leave_shared_mounts() -> None:
    """A namespace of our own whose mounts nobody else sees.

    In a chroot ``/`` is not a mount point and cannot be made private by its name. setns(2) into the namespace that we
    are in sets the root directory to that of the namespace; from there all is made private, and we go back.
    """
    working_directory = Path.cwd()
    _call("unshare", _CLONE_NEWNS)
    old_root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    ourselves = os.pidfd_open(os.getpid())
    try:
        _call("setns", ourselves, _CLONE_NEWNS)
        _mount("none", "/", flags=_MS_REC | _MS_PRIVATE)
        os.fchdir(old_root)
        os.chroot(".")
        os.chdir(working_directory)
    finally:
        os.close(ourselves)
        os.close(old_root)


def _private_run() -> None:
    _mount("tmpfs", "/run", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")
    # sshd's privilege separation directory is compiled in.
    Path("/run/sshd").mkdir(mode=0o755)
    PLACE.mkdir(mode=0o755)


def _private_proc() -> None:
    """A bare chroot has none; where there is one it stays, since a container may not mount another."""
    if not Path("/proc/self/stat").exists():
        _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def _private_dev() -> None:
    """The usual devices, terminals of our own, and room for a ``/dev/log`` that is not the machine's."""
    new = PLACE / "dev"
    new.mkdir()
    _mount("tmpfs", str(new), "tmpfs", _MS_NOSUID, "mode=0755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (new / name).touch()
        _mount(f"/dev/{name}", str(new / name), flags=_MS_BIND)
    (new / "pts").mkdir()
    # gid 5 is tty; sshd and pseudo-terminals expect it.
    _mount("devpts", str(new / "pts"), "devpts", _MS_NOSUID | _MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    (new / "ptmx").symlink_to("pts/ptmx")
    (new / "shm").mkdir()
    _mount("tmpfs", str(new / "shm"), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (new / name).symlink_to(f"/proc/self/fd{target}")
    _mount(str(new), "/dev", flags=_MS_MOVE)
    new.rmdir()


def _private_accounts() -> None:
    ours = {account.name for account in ACCOUNTS}
    tables = {
        name: [line for line in _lines(Path("/etc") / name) if line.split(":")[0] not in ours]
        for name in ("passwd", "group", "shadow")
    }
    taken = {int(line.split(":")[2]) for name in ("passwd", "group") for line in tables[name] if line.count(":") >= 3}
    free = (number for number in range(_FIRST_ID, 65000) if number not in taken)
    (PLACE / "home").mkdir()
    for account in ACCOUNTS:
        number = next(free)
        directory, shell = "/nonexistent", "/usr/sbin/nologin"
        if account.login:
            directory, shell = str(home(account.name)), "/bin/sh"
            home(account.name).mkdir(mode=0o755)
        tables["passwd"].append(f"{account.name}:x:{number}:{number}::{directory}:{shell}")
        tables["group"].append(f"{account.name}:x:{number}:")
        # With `UsePAM no` sshd takes "!" for a locked account and "*" merely for no password (platform.c, auth.c).
        tables["shadow"].append(f"{account.name}:*:19000:0:99999:7:::")
    etc = PLACE / "etc"
    etc.mkdir()
    for name, lines in tables.items():
        copy = etc / name
        copy.touch(mode=0o600 if name == "shadow" else 0o644)
        copy.write_text("\n".join(lines) + "\n")
        _mount(str(copy), f"/etc/{name}", flags=_MS_BIND)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line]


def _reachable_by_all(directory: Path) -> bool:
    return all(stat.S_IMODE(part.stat().st_mode) & 0o001 for part in (directory, *directory.parents))


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    _call(
        "mount", source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        what = next((argument.decode() for argument in arguments[1:2] if isinstance(argument, bytes)), "")
        raise OSError(number, f"{name}: {os.strerror(number)}", what or None)
