"""Standard input through ForceCommand: all of it reaches the role, whenever it comes, or nothing runs."""

from __future__ import annotations

import hashlib
import os
import random
import time
from pathlib import Path
from subprocess import Popen

import pytest

from hoopjump.dev.bastion import Bastion
from tests.bastion.below import newest_row
from tests.bastion.ways import started

BOUND = 8 * 1024 * 1024
NOISE = random.Random(1).randbytes(1024 * 1024)
INPUTS = {
    "empty": b"",
    "one-byte": b"x",
    "one-newline": b"\n",
    "every-byte": bytes(range(256)) * 5,
    "megabyte": NOISE,
    "below-bound": NOISE * 7,
}

WAITS = {"HOOPJUMP_STDIN": "wait"}


def outcome(client: Popen[bytes], given: bytes | None = None) -> tuple[int, bytes, bytes]:
    """Exit status, output and error output."""
    out, err = client.communicate(given, timeout=60)
    return client.returncode, out, err


@pytest.mark.parametrize("data", INPUTS.values(), ids=INPUTS.keys())
def test_a_command_gets_all_of_its_input(bastion: Bastion, data: bytes) -> None:
    """Every byte of a pipe reaches the command, and comes back through `cat`."""
    done = bastion.ssh("mybash", "cat; exit 7", input=data)
    assert (done.returncode, len(done.stdout)) == (7, len(data)), done.stderr
    assert done.stdout == data


def test_a_file_is_an_input_like_a_pipe(bastion: Bastion, common_ground: Path) -> None:
    """`ssh bastion mybash COMMAND < FILE`."""
    path = common_ground / "input"
    path.write_bytes(NOISE)
    with path.open("rb") as file, started(bastion.ssh_command("mybash", "sha256sum"), stdin=file) as client:
        status, out, err = outcome(client)
    assert (status, out.split()[0].decode()) == (0, hashlib.sha256(NOISE).hexdigest()), err


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, BOUND - 100])
def test_a_script_runs_whole(bastion: Bastion, size: int) -> None:
    """With no command the input is the script, to its last line, whatever its size."""
    script = b"#" * (size - 1) + b"\n" if size else b""
    done = bastion.ssh("mybash", input=script + b"echo last; exit 3\n" if size else b"")
    assert (done.returncode, done.stdout) == ((3, b"last\n") if size else (0, b"")), done.stderr


def test_a_script_that_starts_late_is_waited_for(bastion: Bastion) -> None:
    """With no command nothing can run without the input, so its start is waited for, two seconds and more."""
    with started(bastion.ssh_command("mybash")) as client:
        time.sleep(2)
        assert outcome(client, b"echo late; exit 7\n")[:2] == (7, b"late\n")


def test_somebody_who_is_waited_for_is_told_so(bastion: Bastion) -> None:
    """After three seconds without an end a line says what is waited for; the script runs all the same."""
    with started(bastion.ssh_command("mybash")) as client:
        assert client.stderr is not None
        assert b"waiting for the end of the input" in client.stderr.readline()
        assert outcome(client, b"echo late\n")[:2] == (0, b"late\n")


def test_input_that_starts_late_is_passed_on_if_asked_for(bastion: Bastion) -> None:
    """HOOPJUMP_STDIN=wait: a command, too, waits for input that begins two seconds late."""
    with started(bastion.ssh_command("mybash", "cat; exit 7"), env={**os.environ, **WAITS}) as client:
        time.sleep(2)
        assert outcome(client, NOISE)[:2] == (7, NOISE)


def test_a_script_does_not_take_a_job_for_done_whose_input_came_late(bastion: Bastion) -> None:
    """With a command, input that begins after its start is not passed on; that is said, and the status is 65."""
    with started(bastion.ssh_command("mybash", "echo runs; sleep 3; cat")) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"runs\n"
        status, out, err = outcome(client, b"late\n")
    assert (status, out) == (65, b"")
    assert b"input came after the command had started" in err


def test_input_may_be_told_to_be_none(bastion: Bastion) -> None:
    """HOOPJUMP_STDIN=none: nothing is waited for, and what there is does not count."""
    done = bastion.ssh("mybash", "cat; echo end", input=b"unwanted\n", env={"HOOPJUMP_STDIN": "none"})
    assert (done.returncode, done.stdout) == (0, b"end\n"), done.stderr


@pytest.mark.parametrize("arguments", [(), ("bash",)], ids=["script", "command"])
def test_trickling_input_is_gathered_to_its_end(bastion: Bastion, arguments: tuple[str, ...]) -> None:
    """A line now and then is no end: longer pauses than the gateway's 100 ms lose nothing."""
    with started(bastion.ssh_command("mybash", *arguments)) as client:
        assert client.stdin is not None
        for number in range(8):
            client.stdin.write(b"echo %d\n" % number)
            client.stdin.flush()
            time.sleep(0.4 if number % 2 else 0.02)
        status, out, err = outcome(client, b"exit 7\n")
    assert (status, out) == (7, b"".join(b"%d\n" % number for number in range(8))), err


@pytest.mark.parametrize("late", [b"", b"x"], ids=["at-once", "after-a-byte"])
def test_input_above_the_bound_runs_nothing(bastion: Bastion, common_ground: Path, late: bytes) -> None:
    """One byte too many is refused in a sentence, with the command not run and the gateway not asked."""
    mark, row = common_ground / "mark", newest_row(bastion)
    script = b"touch %s\n" % bytes(mark)
    padding = b"#" * (BOUND - len(script)) + b"#"
    done = bastion.ssh("mybash", input=script + padding + late * 1024 * 1024)
    assert (done.returncode, done.stdout) == (77, b"")
    assert b"hoopjump: The input is larger than 8388608 bytes" in done.stderr
    assert b"nothing was run" in done.stderr
    assert not mark.exists()
    assert newest_row(bastion) == row


def test_input_at_the_bound_runs(bastion: Bastion, common_ground: Path) -> None:
    """The bound itself is still let through: the mark of the test above is one that is made."""
    mark = common_ground / "mark"
    script = b"touch %s\n" % bytes(mark)
    done = bastion.ssh("mybash", input=script + b"#" * (BOUND - len(script)))
    assert done.returncode == 0, done.stderr
    assert mark.exists()
