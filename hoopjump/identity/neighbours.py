"""Whose a connection on this machine is: others with an account here are no part of a login."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# proc_pid_net(5); a socket of IPv6 can connect to an address of IPv4, too.
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = 1  # net/tcp_states.h
_NOBODY: Final = -1


def is_foreign(connection: socket.socket, far: int) -> bool:
    """Whether a connection to us, from the port ``far`` of this machine, is somebody else's.

    Root's is not: it brings what comes from outside (the browser of the machine around this one), and could read
    our memory. Nor is one that has no row, since its other end is on no machine that this kernel knows of. Where the
    kernel has no such tables, nobody's is.
    """
    tables = [table for table in _TABLES if table.exists()]
    owners = set(_owners(tables, connection.getsockname()[1], far))
    # Looked at when the rows have been read: who hangs up has none any more, or one that names nobody (root, to whoever
    # does not look at the inode), and gets no answer anyway.
    if tables and not _is_open(connection):
        return True
    return not owners <= {0, os.geteuid()}


def _is_open(connection: socket.socket) -> bool:
    """Whether neither end has been closed (tcp(7), TCP_INFO; its first byte is the state)."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED


def _owners(tables: list[Path], near: int, far: int) -> Iterator[int]:
    wanted = (f"{far:04X}", f"{near:04X}")
    for table in tables:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            # sl, local address, remote address, state, two queues, timer, retransmissions, uid, timeout, inode
            fields = line.split()
            if (fields[1].rpartition(":")[2], fields[2].rpartition(":")[2]) == wanted:
                yield int(fields[7]) if fields[9] != "0" else _NOBODY
