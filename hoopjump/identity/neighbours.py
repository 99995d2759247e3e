"""Whose a connection on this machine is: others with an account here are no part of a login."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# proc_pid_net(5); a socket of IPv6 can connect to an address of IPv4, too.
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def is_foreign(near: int, far: int) -> bool:
    """Whether a connection to our port ``near`` from the port ``far`` of this machine is somebody else's.

    Root's is not: it brings what comes from outside (the browser of the machine around this one), and could read
    our memory. Where the kernel has no such tables, nobody's is.
    """
    return any(owner not in {0, os.geteuid()} for owner in _owners(near, far))


def _owners(near: int, far: int) -> Iterator[int]:
    wanted = (f"{far:04X}", f"{near:04X}")
    for table in _TABLES:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            # sl, local address, remote address, state, two queues, timer, retransmissions, uid
            fields = line.split()
            if (fields[1].rpartition(":")[2], fields[2].rpartition(":")[2]) == wanted:
                yield int(fields[7])
