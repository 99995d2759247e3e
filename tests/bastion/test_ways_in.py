"""Both ways in, with a real sshd and a real ssh: who gets where, and who is none of hoopjump's business."""

from __future__ import annotations

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.services import free_port
from tests.bastion.ways import run


def test_a_command_runs_at_the_resource_role(bastion: Bastion, way: str) -> None:
    """`ssh bastion mybash COMMAND`: what it prints comes back, and it runs as this user at the gateway."""
    done = run(bastion, way, "mybash", "echo $HOOP_USER_EMAIL at $HOOP_CONNECTION_NAME")
    assert done.stdout == b"alice@example.com at mybash\n", done.stderr
    assert done.returncode == 0


def test_standard_error_stays_apart(bastion: Bastion) -> None:
    """What the command writes to stderr does not end up in stdout."""
    done = bastion.ssh("mybash", "echo one; echo two >&2")
    assert done.stdout == b"one\n"
    assert b"two\n" in done.stderr


def test_a_jump_never_runs_the_session_hook(bastion: Bastion, patient_gateway: None) -> None:
    """A ProxyJump is a login all the same: opened and closed in the audit trail, without a session."""
    identity = bastion.certificate("bob")
    # Longer than sshd.poll_interval, or nobody may have seen it.
    assert bastion.jump("mybash", "sleep 0.5", identity=identity).returncode == 0
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
