"""Who a process is: its identity, owner, ancestors and children, as /proc tells, and a handle that cannot be reused.

A pid alone names whoever has it now. With the start time (proc_pid_stat(5), field 22) it names one process for as
long as the machine runs, and a pidfd (pidfd_open(2)) holds on to that process: it tells of its end and delivers
signals to it or to nobody. Owners are *real* uids: sshd's monitor takes on the user's effective uid for moments
(uidswap.c temporarily_use_uid), and the owner of /proc/PID is root whenever a process is not dumpable.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

SO_PEERPIDFD: Final = 77  # asm-generic/socket.h, since Linux 6.5
ANCESTOR_LIMIT: Final = 64

_CHILDREN: Final = Path("/proc/thread-self/children")
_CREDENTIALS: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid


class ProcessGoneError(Exception):
    """The process has ended, or its pid is somebody else's by now."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its pid, and its start in clock ticks since boot."""

    pid: int
    start: int


@dataclass(frozen=True, slots=True)
class _Stat:
    name: str
    state: str
    parent: int
    session: int
    start: int


class Handle:
    """A process held by pidfd: readable (:meth:`fileno`) when it has ended. Close it when done."""

    __slots__ = ("_pidfd", "process")

    def __init__(self, process: Process, pidfd: int) -> None:
        self.process = process
        self._pidfd = pidfd

    @classmethod
    def open(cls, process: Process) -> Self:
        """Hold on to a process; raises :class:`ProcessGoneError`."""
        try:
            pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            raise ProcessGoneError(process.pid) from None
        handle = cls(process, pidfd)
        # The pid may have changed hands before pidfd_open; now that it is held, the start time settles whose it is.
        if find(process.pid) != process or handle.ended():
            handle.close()
            raise ProcessGoneError(process.pid)
        return handle

    def fileno(self) -> int:
        """The pidfd."""
        return self._pidfd

    def ended(self) -> bool:
        """Whether the process has ended (a zombie has)."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; False when the process has ended. Raises :class:`PermissionError`."""
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        """Let go of the process."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def peer(connection: socket.socket) -> tuple[Handle, int]:
    """The process at the other end of a Unix connection, and its uid when it connected (unix(7), SO_PEERCRED).

    From Linux 6.5 the kernel hands out the pidfd itself, so that a peer that has ended cannot be mistaken for the next
    bearer of its pid. Raises :class:`ProcessGoneError`.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    process = find(pid) if pid > 0 else None
    if process is None:
        raise ProcessGoneError(pid)
    try:
        pidfd = struct.unpack("i", connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD, 4))[0]
    except OSError:
        return Handle.open(process), uid
    handle = Handle(process, pidfd)
    # Alive after its stat was read: what was read is its own.
    if handle.ended():
        handle.close()
        raise ProcessGoneError(pid)
    return handle, uid


def find(pid: int) -> Process | None:
    """The process that has a pid now, if any."""
    stat = _stat(pid)
    return None if stat is None else Process(pid, stat.start)


def alive(process: Process) -> bool:
    """Whether the process still runs (a zombie does not)."""
    stat = _stat(process.pid)
    return stat is not None and stat.start == process.start and stat.state not in "ZX"


def name(process: Process) -> str:
    """The command name (at most 15 bytes); raises :class:`ProcessGoneError`."""
    return _stat_of(process).name


def owner(process: Process) -> int:
    """The real uid; raises :class:`ProcessGoneError`."""
    status = _read(f"/proc/{process.pid}/status")
    if status is None:
        raise ProcessGoneError(process.pid)
    uids = next((line for line in status.split(b"\n") if line.startswith(b"Uid:")), None)
    _stat_of(process)
    if uids is None:
        raise ProcessGoneError(process.pid)
    return int(uids.split()[1])


def parent(process: Process) -> Process | None:
    """The parent, None for the first process; raises :class:`ProcessGoneError`.

    The child is read again afterwards: while it still names that parent, the parent's pid was not free for others.
    """
    pid = _stat_of(process).parent
    if pid == 0:
        return None
    found = find(pid)
    if found is None or _stat_of(process).parent != pid:
        raise ProcessGoneError(process.pid)
    return found


def same_session(one: Process, other: Process) -> bool:
    """Whether two processes are of one session (setsid(2)); raises :class:`ProcessGoneError`.

    Processes that were forked from each other are, unless one has left. Whoever has inherited an orphan is not.
    """
    return _stat_of(one).session == _stat_of(other).session


def ancestors(process: Process) -> Iterator[Process]:
    """Parent, grandparent and so on, at most :data:`ANCESTOR_LIMIT`; raises :class:`ProcessGoneError`."""
    current: Process | None = process
    for _ in range(ANCESTOR_LIMIT):
        current = parent(current) if current is not None else None
        if current is None:
            return
        yield current


def children(process: Process) -> list[Process]:
    """The children that run (zombies left out); empty when the process has ended."""
    pids = _child_pids(process.pid)
    found = []
    for pid in pids:
        stat = _stat(pid)
        if stat is not None and stat.parent == process.pid and stat.state not in "ZX":
            found.append(Process(pid, stat.start))
    return found if find(process.pid) == process else []


def descendants(process: Process) -> list[Process]:
    """Children, their children and so on."""
    found: list[Process] = []
    waiting = [process]
    while waiting:
        below = children(waiting.pop())
        found += below
        waiting += below
    return found


def boot_id() -> str:
    """What tells this boot from every other; pids and start times mean nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _child_pids(pid: int) -> list[int]:
    try:
        lists = [(task / "children").read_bytes() for task in Path(f"/proc/{pid}/task").iterdir()]
    except FileNotFoundError:
        # Ended meanwhile, or a kernel without CONFIG_PROC_CHILDREN.
        return [] if _CHILDREN.exists() else [entry for entry in _all_pids() if _parent_pid(entry) == pid]
    except OSError:
        return []
    return [int(word) for found in lists for word in found.split()]


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent_pid(pid: int) -> int | None:
    stat = _stat(pid)
    return None if stat is None else stat.parent


def _stat_of(process: Process) -> _Stat:
    stat = _stat(process.pid)
    if stat is None or stat.start != process.start:
        raise ProcessGoneError(process.pid)
    return stat


def _read(path: str) -> bytes | None:
    """A file of /proc, which gives all it has at once; a login reads some thirty, so each system call counts."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, 8192)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _stat(pid: int) -> _Stat | None:
    text = _read(f"/proc/{pid}/stat")
    if text is None:
        return None
    # The name stands in parentheses and may hold any byte, parentheses and spaces included: its end is the last one.
    head, separator, tail = text.rpartition(b")")
    fields = tail.split()
    if not separator or len(fields) < 20:
        return None
    return _Stat(
        name=head.partition(b"(")[2].decode("utf-8", "replace"),
        state=fields[0].decode(),
        parent=int(fields[1]),
        session=int(fields[3]),
        start=int(fields[19]),
    )
