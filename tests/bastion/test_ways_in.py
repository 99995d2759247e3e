"""Both ways in, with a real sshd and a real ssh: what a command, a script and its exit status come out as."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.services import free_port

JUMP = "jump"
FORCE_COMMAND = "force-command"
WAYS = [FORCE_COMMAND, JUMP]


def client(bastion: Bastion, way: str) -> Callable[..., CompletedProcess[bytes]]:
    """The ssh of a way in."""
    return bastion.jump if way == JUMP else bastion.ssh


@pytest.mark.parametrize("way", WAYS)
def test_a_command_runs_at_the_resource_role(bastion: Bastion, way: str) -> None:
    """`ssh bastion mybash COMMAND`: what it prints comes back, and it runs as this user at the gateway."""
    done = client(bastion, way)("mybash", "echo $HOOP_USER_EMAIL at $HOOP_CONNECTION_NAME")
    assert done.stdout == b"alice@example.com at mybash\n", done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_the_exit_status_comes_back(bastion: Bastion, status: int) -> None:
    """Through ForceCommand the status is the command's, 255 too, which ssh itself uses for its own failures."""
    done = bastion.ssh("mybash", f"echo out; echo err >&2; exit {status}")
    assert (done.returncode, done.stdout) == (status, b"out\n")
    assert b"err\n" in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_piped_input_is_the_script(bastion: Bastion, way: str) -> None:
    """`echo SCRIPT | ssh bastion mybash` runs the script."""
    done = client(bastion, way)("mybash", input=b"echo $((6 * 7))\nexit 3\n")
    assert (done.returncode, done.stdout) == (3, b"42\n"), done.stderr


def test_piped_input_reaches_a_command(bastion: Bastion) -> None:
    """Through ForceCommand all of the input reaches the command, whatever bytes it is made of."""
    data = bytes(range(256)) * 64
    done = bastion.ssh("mybash", "wc -c", input=data)
    assert (done.returncode, done.stdout.strip()) == (0, str(len(data)).encode()), done.stderr


def test_standard_error_stays_apart(bastion: Bastion) -> None:
    """What the command writes to stderr does not end up in stdout."""
    done = bastion.ssh("mybash", "echo one; echo two >&2")
    assert done.stdout == b"one\n"
    assert b"two\n" in done.stderr


def test_a_jump_never_runs_the_session_hook(bastion: Bastion) -> None:
    """A ProxyJump is a login all the same: opened and closed in the audit trail, without a session."""
    identity = bastion.certificate("bob")
    assert bastion.jump("mybash", "true", identity=identity).returncode == 0
    opened = bastion.wait_for_event(kind="login-opened", user="bob@example.com")
    bastion.wait_for_event(kind="login-closed", login=opened["login"])
    kinds = [event["kind"] for event in bastion.audit() if event.get("login") == opened["login"]]
    assert "session-started" not in kinds


def test_a_forward_reaches_nothing_but_the_gateway(bastion: Bastion) -> None:
    """Any other address is refused by sshd, the bastion's own ports included."""
    done = bastion.ssh(options=("-W", f"127.0.0.1:{free_port()}"))
    assert done.returncode != 0
    assert b"administratively prohibited" in done.stderr
    done = bastion.ssh(options=("-W", f"localhost:{bastion.gateway.ssh_port}"))
    assert b"administratively prohibited" in done.stderr


def test_an_administrator_logs_in_as_ever(bastion: Bastion, private_view: None) -> None:
    """Accounts outside of the Match block are none of hoopjump's business."""
    done = bastion.ssh("id", "-un", account="admin", identity=bastion.workshop.key("admin"))
    assert (done.returncode, done.stdout) == (0, b"admin\n")


def test_an_account_of_hoopjump_takes_no_plain_key(bastion: Bastion, private_view: None) -> None:
    """The key that lets the administrator in opens no account of the Match block."""
    done = bastion.ssh("id", account="alice", identity=bastion.workshop.key("admin"))
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr
