"""Many at once: nobody is refused wrongly, also while the daemon restarts."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.services import wait_for
from tests.bastion.ways import started
from tests.conftest import need_bastion

CLIENTS: Final = 200
LOGINS: Final = 40
SECONDS: Final = 240
USERS: Final = ("alice", "bob")


@pytest.fixture(scope="module")
def site() -> Iterator[Bastion]:
    """A bastion whose sessions have as long as the storm takes: this gateway shares the machine with all clients."""
    need_bastion()
    with Bastion(settings={"handoff": {"connect_timeout": SECONDS}}) as running:
        yield running


End = tuple[int, bytes, bytes]


@contextmanager
def crowd(site: Bastion, number: int, *, quiet: bool = True) -> Iterator[Callable[[], list[tuple[int, End]]]]:
    """So many clients at once, each with a command of its own; gives what waits for all, and tells the wrong ends.

    ``quiet``: nothing on standard error is right, either.
    """
    argv = [site.ssh_command(identity=site.certificate(user)) for user in USERS]
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                started([*argv[index % len(argv)], "mybash", f"echo {index}"], stdin=subprocess.DEVNULL)
            )
            for index in range(number)
        ]

        def wrong() -> list[tuple[int, End]]:
            ends = []
            for index, client in enumerate(clients):
                out, err = client.communicate(timeout=SECONDS)
                ends.append((index, (client.returncode, out, err)))
            return [(index, end) for index, end in ends if end[:2] != (0, f"{index}\n".encode()) or (quiet and end[2])]

        yield wrong


def test_two_hundred_clients_at_once_all_get_their_answer(site: Bastion) -> None:
    """Each is let in, reaches the gateway and reads what its own command printed."""
    before = site.log()
    began = time.monotonic()
    with crowd(site, CLIENTS) as wrong:
        assert wrong() == [], site.find_log("denied|error|Traceback", before)
    print(f"{CLIENTS} clients: {time.monotonic() - began:.1f} s, load average {os.getloadavg()[0]:.1f}")
    assert site.find_log("Traceback|drop connection|beginning MaxStartups|principals denied", before) is None


def test_a_restart_during_a_storm_loses_no_login(site: Bastion) -> None:
    """The socket stays open, as systemd keeps it, and a hook whose connection a daemon dropped asks the next one."""
    before = site.log()
    events = len(site.audit())
    with crowd(site, LOGINS, quiet=False) as wrong:
        for share in (LOGINS // 4, LOGINS // 2):
            wait_for(lambda share=share: len(admitted(site, events)) >= share, what="logins")  # type: ignore[misc]
            site.restart_daemon()
        assert wrong() == []
    assert len(admitted(site, events)) == LOGINS
    assert site.find_log("Traceback|principals denied", before) is None


def admitted(site: Bastion, since: int) -> set[str]:
    """The logins that were admitted since so many events."""
    return {event["login"] for event in site.audit()[since:] if event["kind"] == "admitted"}
