"""Standard output through ForceCommand: every byte and the status, to a slow reader too, of a gateway that hurries.

The embedded gateway closes TCP right behind the exit status, as the real one does. HOOPJUMP_TEST_RUNS is how often the
5 MB are read (200 proves more, 12 fits into everyday); the 50 MB are read a tenth as often, five times at most.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, Popen
from typing import IO, Final

import pytest

from hoopjump.dev.bastion import Bastion
from tests.bastion.plain_bastion import NESTED, without_hoopjump

RUNS: Final = int(os.environ.get("HOOPJUMP_TEST_RUNS", "12"))
LARGE_RUNS: Final = min(5, max(1, RUNS // 10))
LATE: Final = 0.5
"""Seconds that a slow reader sleeps before it reads."""

FIRST: Final = 1_000_000
"""The first number of seven digits: each is a line of eight bytes."""

MEGABYTE: Final = 1_000_000


def output_of(size: int) -> tuple[str, str]:
    """A command that prints so many bytes (a multiple of 8), and the SHA-256 of what it prints."""
    last = FIRST + size // 8 - 1
    digest = hashlib.sha256()
    for begin in range(FIRST, last + 1, 10_000):
        digest.update("".join(f"{number}\n" for number in range(begin, min(begin + 10_000, last + 1))).encode())
    return f"seq {FIRST} {last}", digest.hexdigest()


def read_late(stream: IO[bytes], pause: float = 0) -> tuple[int, str]:
    """Size and SHA-256 of a stream that is read late, and then with a pause after each megabyte."""
    time.sleep(LATE)
    size, digest = 0, hashlib.sha256()
    while data := stream.read(MEGABYTE):
        size += len(data)
        digest.update(data)
        time.sleep(pause)
    return size, digest.hexdigest()


def slow_run(argv: list[str], pause: float = 0) -> tuple[int, int, str]:
    """Exit status, size and SHA-256 of what a client prints to a slow reader."""
    with Popen(argv, stdin=PIPE, stdout=PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.close()
        size, digest = read_late(client.stdout, pause)
        return client.wait(60), size, digest


@pytest.mark.timeout(60 + 5 * RUNS)
def test_a_slow_reader_gets_every_byte_and_the_status(bastion: Bastion) -> None:
    """5 MB to a reader that sleeps, time and again.

    Two users side by side: where the gateway loses a status, two sessions of one user at once cannot be told apart.
    """
    command, digest = output_of(5 * MEGABYTE)

    def lane(user: str, status: int) -> list[tuple[int, int, str]]:
        argv = bastion.ssh_command("mybash", f"{command}; exit {status}", identity=bastion.certificate(user))
        return [result for _ in range(RUNS // 2) if (result := slow_run(argv)) != (status, 5 * MEGABYTE, digest)]

    with ThreadPoolExecutor(2) as pool:
        wrong = list(pool.map(lane, ("alice", "bob"), (0, 7)))
    assert wrong == [[], []]


@pytest.mark.parametrize("run", range(LARGE_RUNS))
def test_ten_times_as_much_is_no_different(bastion: Bastion, run: int) -> None:
    """50 MB, more than a session may hold at once, to a reader with pauses."""
    command, digest = output_of(50 * MEGABYTE)
    argv = bastion.ssh_command("mybash", f"{command}; exit 7")
    assert slow_run(argv, pause=0.02) == (7, 50 * MEGABYTE, digest)


def test_error_output_is_whole_too(bastion: Bastion) -> None:
    """What goes to stderr is kept apart, in order, and passed on to its end."""
    command, digest = output_of(2 * MEGABYTE)
    argv = bastion.ssh_command("mybash", f"echo out; {command} >&2; exit 1")
    with Popen(argv, stdin=PIPE, stdout=PIPE, stderr=PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stderr is not None
        client.stdin.close()
        assert read_late(client.stderr) == (2 * MEGABYTE, digest)
        assert client.stdout.read() == b"out\n"
        assert client.wait(60) == 1


def test_output_comes_while_the_command_runs(bastion: Bastion) -> None:
    """Nothing is held back until the end: the first line is there while the command still waits."""
    with Popen(bastion.ssh_command("mybash", "echo first; sleep 30; echo second"), stdin=PIPE, stdout=PIPE) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.close()
        assert client.stdout.readline() == b"first\n"
        assert client.poll() is None
        client.kill()


# -- What this is for ------------------------------------------------------------------------------------------------


@pytest.fixture
def nested(bastion: Bastion, tmp_path: Path) -> Iterator[list[str]]:
    """A client of `ForceCommand ssh gateway …`."""
    with without_hoopjump(bastion, tmp_path, NESTED) as argv:
        yield argv


def test_without_spooling_the_same_run_loses_output(nested: list[str]) -> None:
    """A nested ssh loses bytes to a slow reader, and says nothing: the fault that the tests above survive is there."""
    command, _ = output_of(5 * MEGABYTE)
    runs = (slow_run([*nested, "mybash", command]) for _ in range(20))
    assert any(status == 0 and size < 5 * MEGABYTE for status, size, _ in runs)


def test_without_spooling_late_input_is_dropped(nested: list[str]) -> None:
    """A nested ssh drops a script that begins after 100 ms, and calls that a success."""
    with Popen([*nested, "mybash"], stdin=PIPE, stdout=PIPE) as client:
        time.sleep(2)
        out, _ = client.communicate(b"echo late\n", timeout=60)
        assert (client.returncode, out) == (0, b"")
