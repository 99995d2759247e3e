"""A terminal, both ways in: it has the client's size and follows it, Ctrl-C reaches the program, the status returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pexpect
import pytest

from hoopjump.dev.bastion import Bastion
from tests.bastion.test_ways_in import JUMP, WAYS

SECONDS = 20


@contextmanager
def terminal(bastion: Bastion, way: str, *arguments: str, **rest: Any) -> Iterator[pexpect.spawn[str]]:
    """`ssh -t` on a terminal of 30 lines and 100 columns."""
    options, host = (("-J", "bastion"), "gateway") if way == JUMP else ((), "bastion")
    argv = bastion.ssh_command(*arguments, options=options, host=host, tty=True, **rest)
    child = pexpect.spawn(argv[0], argv[1:], timeout=SECONDS, encoding="utf-8", dimensions=(30, 100), echo=False)
    try:
        yield child
    finally:
        child.close(force=True)


def prompt(child: pexpect.spawn[str]) -> None:
    """Make the shell's prompt a known word, and wait for it."""
    child.expect(r"[$#] ")
    child.sendline("PS1='rea''dy> '; PROMPT_COMMAND=")
    child.expect("ready> ")


def test_size_and_its_changes_reach_the_terminal(bastion: Bastion, way: str) -> None:
    """The role's terminal is as large as the client's, also after the client's has changed."""
    with terminal(bastion, way, "mybash") as child:
        prompt(child)
        child.sendline("stty size")
        child.expect("30 100")
        child.sendline("trap 'echo now $(stty size)' WINCH; echo se''t")
        child.expect("set")
        child.setwinsize(40, 120)
        child.sendline("while sleep 0.05; do [ \"$(stty size)\" = '40 120' ] && break; done; echo follo''wed")
        child.expect("followed")


def test_interrupt_reaches_the_program(bastion: Bastion, way: str) -> None:
    """Ctrl-C ends what runs at the role, and not the session."""
    with terminal(bastion, way, "mybash") as child:
        prompt(child)
        child.sendline("echo sta''rted; sleep 1000; echo en''ded $?")
        child.expect("started")
        child.sendintr()
        child.expect("ready> ")
        child.sendline("echo al''ive")
        child.expect("alive")


@pytest.mark.parametrize("status", [0, 7, 255])
def test_the_status_of_a_terminal_comes_back(bastion: Bastion, status: int) -> None:
    """`exit N` at the role's shell is ssh's exit status."""
    with terminal(bastion, "force-command", "mybash") as child:
        prompt(child)
        child.sendline(f"exit {status}")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == status


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_a_command_typed_on_a_terminal_does_not_wait_for_its_input(bastion: Bastion, status: int) -> None:
    """On a terminal standard input never ends; the command runs all the same, and its status comes back."""
    with terminal(bastion, "force-command", "mybash", f"echo in''stant; exit {status}") as child:
        child.expect("instant")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == status
