"""Ad-hoc commands, both ways: output, error output, input and exit status are the command's own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.databases import PostgresServer
from hoopjump.dev.services import wait_for
from tests.bastion.below import newest_row
from tests.bastion.proof import new_mark
from tests.bastion.ways import FORCE_COMMAND, JUMP, command, run, started, status_of, typed

STATUSES = [0, 1, 7, 255]


@pytest.fixture
def lossy(bastion: Bastion) -> Iterator[None]:
    """A gateway that never tells an exit status, as the real one at times does not."""
    bastion.gateway.faults(lose_exit_status=1)
    yield
    bastion.gateway.faults(lose_exit_status=0)


@pytest.mark.parametrize("status", STATUSES)
def test_the_exit_status_comes_back(bastion: Bastion, way: str, status: int) -> None:
    """The status is the command's, 255 too, which ssh itself uses for its own failures."""
    done = run(bastion, way, "mybash", f"echo out; echo err >&2; exit {status}")
    assert (done.returncode, done.stdout) == (status, b"out\n")
    assert b"err\n" in done.stderr


@pytest.mark.parametrize("status", STATUSES)
def test_a_command_typed_on_a_terminal_ends(bastion: Bastion, way: str, status: int) -> None:
    """`ssh bastion mybash COMMAND` at a prompt: the input never ends, the command does, with its status."""
    with typed(command(bastion, way, "mybash", f"echo o''ut; exit {status}")) as child:
        child.expect("out")
        assert status_of(child) == status


@pytest.mark.parametrize("status", STATUSES)
def test_a_command_with_a_terminal_ends(bastion: Bastion, way: str, status: int) -> None:
    """`ssh -t bastion mybash COMMAND` at a prompt: the gateway gives a command none, and it ends all the same."""
    with typed(command(bastion, way, "mybash", f"echo o''ut; exit {status}", options=("-t",))) as child:
        child.expect("out")
        assert status_of(child) == status


@pytest.mark.parametrize("options", [(), ("-t",)], ids=["plain", "terminal"])
def test_typing_ahead_is_no_input(bastion: Bastion, options: tuple[str, ...]) -> None:
    """Keys pressed while a command runs are told to be lost; the status stays the command's, for nothing had ended."""
    with typed(command(bastion, FORCE_COMMAND, "mybash", "echo o''ut; sleep 1; exit 7", options=options)) as child:
        child.expect("out")
        child.sendline("ls")
        child.expect("input came after the command had started")
        assert status_of(child) == 7


@pytest.mark.parametrize("status", STATUSES)
def test_piped_input_is_the_script(bastion: Bastion, way: str, status: int) -> None:
    """`echo SCRIPT | ssh bastion mybash` runs the script, and exits as it does."""
    done = run(bastion, way, "mybash", input=f"echo $((6 * 7))\nexit {status}\n".encode())
    assert (done.returncode, done.stdout) == (status, b"42\n"), done.stderr


def test_a_database_runs_a_piped_script(bastion: Bastion, pgdemo: PostgresServer, way: str) -> None:
    """`echo SQL | ssh bastion pgdemo` answers, and an error in the script is an error here."""
    done = run(bastion, way, "pgdemo", input=b"SELECT 6 * 7 AS answer;\n")
    assert done.returncode == 0, done.stderr
    assert b"42" in done.stdout
    done = run(bastion, way, "pgdemo", input=b"SELECT 1 / 0;\n")
    assert b"division by zero" in done.stderr


def test_a_command_on_a_database_is_its_query(bastion: Bastion, pgdemo: PostgresServer) -> None:
    """`ssh bastion pgdemo 'SELECT …'` needs no pipe."""
    done = bastion.ssh("pgdemo", "SELECT 6 * 7 AS answer;")
    assert done.returncode == 0, done.stderr
    assert b"42" in done.stdout


@pytest.mark.parametrize("status", STATUSES)
def test_a_lost_exit_status_is_looked_up(bastion: Bastion, lossy: None, status: int) -> None:
    """Where the gateway closes without a status, the one in its session row is the answer."""
    done = bastion.ssh("mybash", f"echo out; exit {status}")
    assert (done.returncode, done.stdout) == (status, b"out\n"), done.stderr
    assert b"status-unknown" not in done.stderr


def test_a_lost_exit_status_is_255_through_a_jump(bastion: Bastion, lossy: None) -> None:
    """A jump is end to end, so nobody makes good what the gateway loses; the fault that is injected is a real one."""
    assert run(bastion, JUMP, "mybash", "exit 7").returncode == 255


def test_of_two_sessions_at_once_no_lost_exit_status_is_guessed(bastion: Bastion, lossy: None) -> None:
    """Two sessions of one user on one role: the row of the later one could be the earlier one's, not the other way."""
    with waiting(bastion, "exit 7") as earlier:
        began = bastion.gateway.sessions(limit="1")[0]["start_date"]
        # A row is the session's own if it began no more than a quarter of a second before it, for clocks differ.
        wait_for(lambda: time.time() > datetime.fromisoformat(began).timestamp() + 0.3, what="the next moment")
        with waiting(bastion, "exit 8") as later:
            earlier.gate.touch()
            _, err = earlier.client.communicate(timeout=60)
            assert earlier.client.returncode == 255
            assert b"the gateway closed the connection without an exit status" in err
            assert b"status-unknown" in err
            later.gate.touch()
            _, err = later.client.communicate(timeout=60)
            assert (later.client.returncode, b"status-unknown" in err) == (8, False), err


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session that goes on when ``gate`` is there."""

    client: subprocess.Popen[bytes]
    gate: Path


@contextmanager
def waiting(bastion: Bastion, then: str) -> Iterator[Waiting]:
    """A session that has begun, and has a row."""
    gate, row = new_mark(bastion), newest_row(bastion)
    argv = bastion.ssh_command("mybash", f"until test -e {gate}; do sleep 0.05; done; {then}")
    with started(argv, stdin=subprocess.DEVNULL) as client:
        wait_for(lambda: newest_row(bastion) != row, what="the session's row")
        yield Waiting(client, gate)
