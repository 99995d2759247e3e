"""Whatever ends a spooled session, its program does not outlive it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pexpect
import pytest

from hoopjump.dev.services import wait_for
from tests.hook.conftest import MB, NOISE, STUBBORN, Hook, gone, pid_in, program, spool, state


@pytest.mark.parametrize("script", ["echo $$ > {}; exec sleep 60", STUBBORN], ids=["willing", "stubborn"])
def test_client_that_goes_away_ends_the_program(hook: Hook, mark: Path, script: str) -> None:
    """A program that says nothing is ended too, with SIGKILL if need be."""
    with hook.serving(spool("none"), program("/bin/sh", "-c", script.format(mark))):
        session = hook.start()
        assert session.stdout is not None
        child = pid_in(mark)
        session.stdout.close()
        wait_for(lambda: gone(child))
        session.wait(30)
        session.stdout = None
        session.communicate()


def test_a_session_that_lost_its_reader_is_not_told_as_whole(hook: Hook, mark: Path) -> None:
    """The program makes 0 of its end; not all of its output went out, and the status says so."""
    script = f"trap 'exit 0' TERM; echo $$ > {mark}; while :; do sleep 0.02; done"
    with hook.serving(spool("none"), program("/bin/sh", "-c", script)) as daemon:
        session = hook.start()
        assert session.stdout is not None
        pid_in(mark)
        session.stdout.close()
        assert session.wait(30) == 128 + signal.SIGPIPE
        session.stdout = None
        session.communicate()
    assert dict(daemon.questions[-1])["exit"] == b"141"


def test_client_that_goes_away_ends_a_stopped_program(hook: Hook, mark: Path) -> None:
    """A program stopped for a slow client does not survive that client."""
    with hook.serving(spool("none"), program(sys.executable, "-ISc", NOISE, "500", mark, buffer=MB)):
        session = hook.start()
        assert session.stdout is not None
        child = pid_in(mark)
        wait_for(lambda: state(child) == "T")
        session.stdout.close()
        wait_for(lambda: gone(child))
        session.wait(30)
        session.stdout = None
        session.communicate()


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_hook_that_is_killed_takes_the_program_along(hook: Hook, mark: Path, stopped: bool) -> None:
    """SIGKILL cannot be handled; the kernel ends the program (PR_SET_PDEATHSIG)."""
    argv = (sys.executable, "-ISc", NOISE, "500" if stopped else "0", mark)
    if not stopped:
        argv = ("/bin/sh", "-c", STUBBORN.format(mark))  # type: ignore[assignment]
    with hook.serving(spool("none"), program(*argv, buffer=MB)):
        session = hook.start()
        child = pid_in(mark)
        if stopped:
            wait_for(lambda: state(child) == "T")
        session.kill()
        wait_for(lambda: gone(child))
        session.communicate()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_hook_ends_the_program(hook: Hook, mark: Path, number: signal.Signals) -> None:
    """And is the session's status, in the shells' way."""
    with hook.serving(spool("none"), program("/bin/sh", "-c", f"echo $$ > {mark}; exec sleep 60")) as daemon:
        session = hook.start()
        child = pid_in(mark)
        session.send_signal(number)
        assert session.wait(30) == 128 + number
        assert gone(child)
        session.communicate()
    assert dict(daemon.questions[-1])["exit"] == str(128 + number).encode()


def test_interrupt_on_a_terminal_ends_the_job(hook: Hook, mark: Path) -> None:
    """Ctrl-C typed at a command that runs spooled on a terminal."""
    script = f"echo begun; echo $$ > {mark}; exec sleep 60"
    with hook.serving(spool("auto", wait=50), program("/bin/sh", "-c", script)):
        terminal = pexpect.spawn(hook.argv("session")[0], hook.argv("session")[1:], env={}, timeout=30)
        terminal.expect_exact("begun\r\n")
        child = pid_in(mark)
        terminal.sendintr()
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 130
    assert gone(child)


def test_terminal_that_is_closed_ends_the_job(hook: Hook, mark: Path) -> None:
    """A hang-up: nothing is left running."""
    script = STUBBORN.format(mark)
    with hook.serving(spool("auto", wait=50), program("/bin/sh", "-c", script)):
        terminal = pexpect.spawn(hook.argv("session")[0], hook.argv("session")[1:], env={}, timeout=30)
        child = pid_in(mark)
        terminal.close()
        wait_for(lambda: gone(child))


def test_input_typed_on_a_terminal_ends_with_control_d(hook: Hook) -> None:
    """No command: what is typed is the input."""
    with hook.serving(spool("wait", hint=1), program("/bin/sh", "-c", "cat | tr a-z A-Z")):
        terminal = pexpect.spawn(hook.argv("session")[0], hook.argv("session")[1:], env={}, timeout=30, echo=False)
        terminal.expect_exact("waiting for the end of the input")
        terminal.sendline("select 1;")
        terminal.sendeof()
        terminal.expect_exact("SELECT 1;")
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 0


def test_line_typed_ahead_on_a_terminal_leaves_the_status_alone(hook: Hook, mark: Path) -> None:
    """Ctrl-D on a terminal is no end of a pipe."""
    script = f"echo $$ > {mark}; while test -e {mark}; do sleep 0.01; done; exit 3"
    with hook.serving(spool("auto", wait=50), program("/bin/sh", "-c", script)):
        terminal = pexpect.spawn(hook.argv("session")[0], hook.argv("session")[1:], env={}, timeout=30)
        pid_in(mark)
        terminal.sendline("ls")
        terminal.sendeof()
        terminal.expect_exact("input came after the command had started")
        mark.unlink()
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert terminal.exitstatus == 3
