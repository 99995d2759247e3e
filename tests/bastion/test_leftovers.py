"""When a client's connection ends, nothing of its session stays: no inner ssh, no hook, no session at the gateway."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pexpect
import pytest

from hoopjump.daemon.processes import Process, alive, descendants
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.services import wait_for
from tests.bastion.below import hooks, inner_clients, new_one
from tests.bastion.ways import PROMPT, started, typed

LEFT: Final = 2.0
"""Seconds after which nothing may be left."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A session: its role, what it runs, and whether it has a terminal."""

    role: str
    command: str = ""
    terminal: bool = False
    stdin: bytes | None = None


KINDS: Final = {
    "command-line-terminal": Kind("mybash", terminal=True),
    "command-line-command": Kind("mybash", "sleep 1000"),
    "command-line-command-at-terminal": Kind("mybash", "sleep 1000", terminal=True),
    "command-line-script": Kind("mybash", stdin=b"sleep 1000\n"),
    "command-line-much-output": Kind("mybash", "yes"),
    "postgres": Kind("pgdemo", "SELECT pg_sleep(1000);"),
    "mysql": Kind("mydemo", "SELECT sleep(1000);"),
    "ssh-terminal": Kind("web1", terminal=True),
    "ssh-command": Kind("web1", "sleep 1000"),
    "ssh-command-at-terminal": Kind("web1", "sleep 1000", terminal=True),
    "ssh-much-output": Kind("web1", "yes"),
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of session, with what stands behind its role started."""
    found: Kind = request.param
    if found.role != "mybash":
        request.getfixturevalue(found.role)
    return found


@contextmanager
def running(bastion: Bastion, kind: Kind) -> Iterator[subprocess.Popen[bytes] | pexpect.spawn[str]]:
    """A session's client, at work."""
    words = [kind.role, kind.command] if kind.command else [kind.role]
    argv = bastion.ssh_command(*words, options=("-t",) if kind.terminal else ())
    if kind.terminal:
        with typed(argv) as child:
            if not kind.command:
                child.expect(PROMPT)
            yield child
    else:
        with started(argv) as client:
            assert client.stdin is not None
            client.stdin.write(kind.stdin or b"")
            client.stdin.close()
            yield client


def open_rows(bastion: Bastion) -> set[str]:
    """The gateway's sessions that are not over."""
    return {str(row["id"]) for row in bastion.gateway.sessions() if row["status"] != "done"}


def gone(processes: set[Process]) -> bool:
    """Whether all have ended."""
    return not any(alive(process) for process in processes)


def test_nothing_is_left_when_the_client_is_killed(bastion: Bastion, kind: Kind) -> None:
    """A client that is killed says no goodbye; two seconds later its inner ssh is gone, and so is the gateway's row."""
    rows, clients, others = open_rows(bastion), inner_clients(bastion), hooks(bastion)
    with running(bastion, kind) as client:
        inner = new_one(lambda: inner_clients(bastion), clients)
        wait_for(lambda: open_rows(bastion) - rows, what="the session at the gateway")
        ours = {inner, *descendants(inner)} | (hooks(bastion) - others)
        client.kill(9) if isinstance(client, pexpect.spawn) else client.kill()
        wait_for(lambda: gone(ours), LEFT, f"the end of {ours}")
    wait_for(lambda: not open_rows(bastion) - rows, what="the end of the session at the gateway")


def test_nothing_is_left_when_the_client_leaves(bastion: Bastion, kind: Kind) -> None:
    """A client that takes its leave (here by SIGTERM) leaves nothing either."""
    clients, others = inner_clients(bastion), hooks(bastion)
    with running(bastion, kind) as client:
        inner = new_one(lambda: inner_clients(bastion), clients)
        ours = {inner, *descendants(inner)} | (hooks(bastion) - others)
        client.kill(15) if isinstance(client, pexpect.spawn) else client.terminate()
        wait_for(lambda: gone(ours), LEFT, f"the end of {ours}")


def test_nothing_is_left_of_a_stopped_inner_ssh(bastion: Bastion) -> None:
    """A client that does not read stops the inner ssh; stopped, too, it ends with its client."""
    argv = bastion.ssh_command("mybash", "yes 0123456789")
    clients, others = inner_clients(bastion), hooks(bastion)
    with started(argv) as client:
        inner = new_one(lambda: inner_clients(bastion), clients)
        ours = {inner, *descendants(inner)} | (hooks(bastion) - others)
        wait_for(lambda: state(inner) == "T", 60, what="the inner ssh to be stopped")
        client.kill()
        wait_for(lambda: gone(ours), LEFT, f"the end of {ours}")


def state(process: Process) -> str:
    """The state of a process, one letter (proc(5), /proc/pid/stat)."""
    return Path(f"/proc/{process.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
