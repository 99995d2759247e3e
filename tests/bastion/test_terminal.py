"""An interactive terminal, both ways: it follows the window, takes Ctrl-C, and its status comes back."""

from __future__ import annotations

import pytest

from hoopjump.dev.bastion import Bastion
from tests.bastion.ways import FORCE_COMMAND, PROMPT, command, status_of, typed


@pytest.fixture(params=["mybash", "web1"])
def role(request: pytest.FixtureRequest) -> str:
    """A command-line role, and a host behind the gateway."""
    return str(request.getfixturevalue("web1")) if request.param == "web1" else "mybash"


def test_a_terminal_has_the_windows_size(bastion: Bastion, role: str, way: str) -> None:
    """The far terminal has the size of the near one, at the start and after each change."""
    with typed(command(bastion, way, role, options=("-t",))) as child:
        child.expect(PROMPT)
        child.sendline("stty size")
        child.expect(r"\b24 80\b")
        for rows, columns in ((40, 132), (10, 20)):
            child.setwinsize(rows, columns)
            child.sendline(f'until [ "$(stty size)" = "{rows} {columns}" ]; do sleep 0.05; done; echo si"ze" follows')
            child.expect("size follows")
        child.sendline("exit 7")
        assert status_of(child) == 7


def test_ctrl_c_interrupts_the_command_and_not_the_shell(bastion: Bastion, role: str, way: str) -> None:
    """Ctrl-C ends what runs in the foreground; the shell, and with it the session, lives on."""
    with typed(command(bastion, way, role, options=("-t",))) as child:
        child.expect(PROMPT)
        child.sendline("shell=$$; bash -c \"echo begi''ns; exec sleep 1000\"")
        child.expect("begins")
        child.sendintr()
        child.expect(PROMPT)
        child.sendline("echo status $? same $((shell == $$))")
        child.expect(r"status 130 same 1\b")
        child.sendline("exit 3")
        assert status_of(child) == 3


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_status_of_a_terminal_comes_back(bastion: Bastion, way: str, status: int) -> None:
    """`exit N` at the role's shell is ssh's exit status."""
    with typed(command(bastion, way, "mybash", options=("-t",))) as child:
        child.expect(PROMPT)
        child.sendline(f"exit {status}")
        assert status_of(child) == status


def test_the_inner_ssh_has_no_escape_character(bastion: Bastion) -> None:
    """`~.` ends the client's own ssh; behind it the inner one passes the tilde on like any other key."""
    with typed(command(bastion, FORCE_COMMAND, "mybash", options=("-t", "-e", "none"))) as child:
        child.expect(PROMPT)
        child.sendline("read -r first; read -r second; printf 'got %s\\n' $first$second")
        child.send("\r~.\r")
        child.expect_exact("got ~.")


def test_the_terminals_kind_reaches_a_host_behind_the_gateway(bastion: Bastion, web1: str) -> None:
    """TERM of the user's terminal is the one that programs on a type-ssh role find."""
    with typed(command(bastion, FORCE_COMMAND, web1, options=("-t",)), TERM="screen-256color") as child:
        child.expect(PROMPT)
        child.sendline("echo te''rm is $TERM")
        child.expect("term is screen-256color")
