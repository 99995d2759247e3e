"""What runs below a bastion's sshd, as /proc tells it, and what the gateway has been asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hoopjump.daemon.processes import Process, ProcessGoneError, ancestors, descendants, find, name, parent
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.services import wait_for


def hooks(bastion: Bastion) -> set[Process]:
    """The session hooks; one that has become ssh is none any more."""
    return {process for process in _below_sshd(bastion) if b"session" in _words(process)}


def principals_hooks(bastion: Bastion) -> set[Process]:
    """The hooks that ask whether somebody may log in."""
    return {process for process in _below_sshd(bastion) if b"principals" in _words(process)}


def inner_clients(bastion: Bastion) -> set[Process]:
    """The ssh processes that go to the gateway, and not what such a one has forked to become its relay."""
    found = {process for process in _below_sshd(bastion) if b"gateway" in _words(process) and _is_ssh(process)}
    return {process for process in found if _parent(process) not in found}


def new_one(found: Callable[[], set[Process]], before: set[Process]) -> Process:
    """The process that is there now and was not before."""
    fresh = wait_for(lambda: found() - before, what="a process below sshd")
    assert len(fresh) == 1
    return fresh.pop()


def serving_sshd(process: Process) -> Process:
    """The process of sshd that serves a session: the nearest above its hook; above that is the monitor."""
    return next(each for each in ancestors(process) if name(each).startswith("sshd"))


def gathered(process: Process) -> int:
    """How many bytes of input a hook holds: its place in its nameless file (proc(5), fdinfo); -1 before it has one."""
    try:
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            if "memfd:hoopjump" in str(link.readlink()):
                return int(Path(f"/proc/{process.pid}/fdinfo/{link.name}").read_text().split()[1])
    except OSError:
        pass
    return -1


def newest_row(bastion: Bastion) -> str:
    """The gateway's newest session: the same as before means that nothing has reached it."""
    rows = bastion.gateway.sessions(limit="1")
    return str(rows[0]["id"]) if rows else ""


def _below_sshd(bastion: Bastion) -> list[Process]:
    sshd = find(bastion.sshd.pid)
    assert sshd is not None
    return descendants(sshd)


def _parent(process: Process) -> Process | None:
    try:
        return parent(process)
    except ProcessGoneError:
        return None


def _is_ssh(process: Process) -> bool:
    try:
        return name(process) == "ssh"
    except ProcessGoneError:
        return False


def _words(process: Process) -> list[bytes]:
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
