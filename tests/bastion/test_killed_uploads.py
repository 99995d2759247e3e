"""A client that dies in mid-upload looks like the end of input; what it has sent never runs."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from hoopjump.daemon.processes import alive
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.databases import PostgresServer
from hoopjump.dev.services import wait_for
from tests.bastion.below import gathered, hooks, new_one, newest_row, serving_sshd
from tests.bastion.plain_bastion import NAIVE_SPOOL, without_hoopjump
from tests.bastion.ways import started

UPLOADS: Final = {
    "script": ((), "touch {mark}\n"),
    "script-of-a-megabyte": ((), "touch {mark}\n" + "#" * 1024 * 1024),
    "command": (("touch {mark};", "cat"), "some of the input\n"),
    "nothing-yet": ((), ""),
}
DEATHS: Final = 6


def die_in_mid_upload(bastion: Bastion, argv: list[str], upload: bytes, *, alone: bool = False) -> None:
    """Send an upload without its end, and die when the hook has all of it: the client, or alone its sshd."""
    before = hooks(bastion)
    with started(argv) as client:
        assert client.stdin is not None
        client.stdin.write(upload)
        client.stdin.flush()
        hook = new_one(lambda: hooks(bastion), before)
        wait_for(lambda: gathered(hook) == len(upload), what="the upload")
        if alone:
            os.kill(serving_sshd(hook).pid, signal.SIGKILL)
        else:
            client.kill()
        wait_for(lambda: not alive(hook), what="the end of the hook")


@pytest.mark.parametrize("kind", UPLOADS)
def test_a_client_killed_in_mid_upload_runs_nothing(bastion: Bastion, common_ground: Path, kind: str) -> None:
    """Half a script never runs, of whatever size it is, nor does a command with half its input."""
    arguments, upload = UPLOADS[kind]
    mark, row = common_ground / "mark", newest_row(bastion)
    argv = bastion.ssh_command("mybash", *(word.format(mark=mark) for word in arguments))
    for _ in range(DEATHS):
        die_in_mid_upload(bastion, argv, upload.format(mark=mark).encode())
        assert not mark.exists()
    assert newest_row(bastion) == row


def test_half_of_an_sql_script_never_runs(bastion: Bastion, pgdemo: PostgresServer) -> None:
    """A DELETE whose WHERE has not arrived yet deletes nothing."""
    done = bastion.ssh("pgdemo", input=b"CREATE TABLE things AS SELECT generate_series(1, 10) AS number;\n")
    assert done.returncode == 0, done.stderr
    argv = bastion.ssh_command("pgdemo")
    for _ in range(DEATHS):
        die_in_mid_upload(bastion, argv, b"BEGIN;\nDELETE FROM things; COMMIT;\n -- only some:")
    done = bastion.ssh("pgdemo", input=b"SELECT 'there are ' || count(*) FROM things;\nDROP TABLE things;\n")
    assert b"there are 10" in done.stdout


def test_a_session_whose_sshd_is_killed_in_mid_upload_runs_nothing(bastion: Bastion, common_ground: Path) -> None:
    """The process of sshd that serves a session may die alone; its end of the pipe closes like any other."""
    mark, row = common_ground / "mark", newest_row(bastion)
    argv = bastion.ssh_command("mybash")
    for _ in range(DEATHS):
        die_in_mid_upload(bastion, argv, b"touch %s\n" % bytes(mark), alone=True)
        assert not mark.exists()
    assert newest_row(bastion) == row


def test_a_client_killed_at_any_moment_runs_nothing(bastion: Bastion, common_ground: Path) -> None:
    """Whether sshd, the hook or the gathering has just begun when the client dies: nothing runs."""
    mark, row = common_ground / "mark", newest_row(bastion)
    argv = bastion.ssh_command("mybash")
    chance = random.Random(7)
    for _ in range(12):
        with started(argv) as client:
            assert client.stdin is not None
            client.stdin.write(b"touch %s\n" % bytes(mark) + b"#" * chance.randrange(60_000))
            client.stdin.flush()
            time.sleep(chance.uniform(0.05, 0.6))
            client.kill()
    wait_for(lambda: not hooks(bastion), what="the end of the hooks")
    assert not mark.exists()
    assert newest_row(bastion) == row


def test_a_naive_spool_runs_half_a_script(bastion: Bastion, common_ground: Path, tmp_path: Path) -> None:
    """Whoever merely gathers the input does run it when the client dies: what the tests above look for can happen."""
    mark, spool = common_ground / "mark", tmp_path / "spool"
    upload = b"touch %s\n" % bytes(mark)
    with without_hoopjump(bastion, tmp_path, NAIVE_SPOOL) as argv, started([*argv, "mybash"]) as client:
        assert client.stdin is not None
        client.stdin.write(upload)
        client.stdin.flush()
        wait_for(lambda: spool.exists() and spool.stat().st_size == len(upload), what="the upload")
        client.kill()
        wait_for(mark.exists, what="the half of a script to be run")


def test_the_same_upload_with_its_end_runs(bastion: Bastion, common_ground: Path) -> None:
    """What the tests above look for can be found."""
    mark, row = common_ground / "mark", newest_row(bastion)
    assert bastion.ssh("mybash", input=b"touch %s\n" % bytes(mark)).returncode == 0
    assert mark.exists()
    assert newest_row(bastion) != row
