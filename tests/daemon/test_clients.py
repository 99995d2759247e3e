"""Whom the user's own token is handed to: programs that nobody of the account can look into, and no hook that leaks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hoopjump import config
from hoopjump.daemon.clients import Clients, unreadable_fault
from hoopjump.daemon.wire import Message
from hoopjump.daemon.wishes import RefusedError, Wish
from hoopjump.decision.reasons import Reason
from hoopjump.decision.request import SessionRequest
from hoopjump.decision.session import Role, decide_session
from hoopjump.decision.token_mark import TokenMark
from hoopjump.decision.values import Presented, RefusedToken, Token, User

ISSUER = "https://idp.example.com"
BASH = Role("mybash", "custom", online=True)
REQUEST = SessionRequest("mybash", named_by="command", command=b"ls")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A file that can be started and not read, by whoever owns it here."""
    path = tmp_path / "hoop"
    path.write_bytes(b"\x7fELF")
    path.chmod(0o711 if os.geteuid() == 0 else 0o311)
    return path


@pytest.fixture
def clients(program: Path) -> Clients:
    """For a bastion with one issuer whose tokens the gateway takes."""
    return clients_with(program)


def clients_with(program: Path) -> Clients:
    return Clients(
        config.parse(
            f"""
            [sshd]
            rootless = {str(os.geteuid() != 0).lower()}
            [gateway]
            api_url = "https://gw.example.com"
            ssh_host = "gw.example.com"
            [tokens]
            session = "optional"
            [[tokens.issuer]]
            issuer = "{ISSUER}"
            audiences = ["hoop"]
            hand_on = true
            [handoff]
            client = "hoop"
            hoop = "{program}"
            grpc_url = "grpcs://gw.example.com:8443"
            """,
            "f",
        )
    )


def wish(*, token: bool = True, concealed: bool = True) -> Wish:
    """What a hook tells."""
    pairs = [("verb", b"session")]
    pairs += [("token", b"a.b.c")] * token + [("concealed", b"1")] * concealed
    return Wish.of(Message(1, tuple(pairs)))


def token(issuer: str = ISSUER) -> Token:
    return Token(issuer, "s", "alice", "subject", (), 2_000_000_000, None, TokenMark(issuer))


def handed(clients: Clients, told: Wish, presented: Presented, role: Role = BASH) -> bytes:
    """What the client would get for a command on a role."""
    verdict = decide_session(REQUEST, role, terminal=False, permit_pty=True)
    return clients.token(told, presented, role, REQUEST, verdict, user=User("s", "alice", "active"))


def test_a_verified_token_of_the_right_issuer_is_handed_on(clients: Clients) -> None:
    """All of it, as it came."""
    assert handed(clients, wish(), token()) == b"a.b.c"


def test_a_token_whose_subject_is_somebody_else_at_the_gateway_is_not_handed_on(clients: Clients) -> None:
    """Whatever its other claims say: the gateway goes by nothing else."""
    with pytest.raises(RefusedError) as caught:
        handed(clients, wish(), replace(token(), subject="eve"))
    assert caught.value.reason is Reason.TOKEN_OTHER_USER
    assert caught.value.detail == "the token's subject is eve, the user's s"


@pytest.mark.parametrize(
    ("told", "presented", "reason"),
    [
        (wish(token=False), None, Reason.CLIENT_TOKEN_MISSING),
        (wish(), None, Reason.CLIENT_TOKEN_MISSING),
        (wish(), RefusedToken(Reason.TOKEN_EXPIRED, ""), Reason.CLIENT_TOKEN_MISSING),
        (wish(), token("https://other.example.com"), Reason.CLIENT_TOKEN_NOT_TAKEN),
        (wish(concealed=False), token(), Reason.CLIENT_UNUSABLE),
    ],
)
def test_any_other_is_not(clients: Clients, told: Wish, presented: Presented, reason: Reason) -> None:
    """Also an older hook's, which any process of the account could look into."""
    with pytest.raises(RefusedError) as caught:
        handed(clients, told, presented)
    assert caught.value.reason is reason


def test_a_type_that_the_client_opens_ports_for_is_refused(clients: Clients) -> None:
    """Before anything is said about tokens."""
    with pytest.raises(RefusedError) as caught:
        handed(clients, wish(token=False), None, Role("web1", "application", "ssh", online=True))
    assert caught.value.reason is Reason.CLIENT_UNSUPPORTED
    assert "application/ssh" in caught.value.sentence


@pytest.mark.parametrize("mode", [0o755, 0o751, 0o715, 0o733, 0o4711, 0o2711, 0o710])
def test_a_program_that_its_users_could_read_or_change_is_none(program: Path, mode: int) -> None:
    """Setuid and setgid ones neither: they would be another uid's, with the user's token."""
    rootless = os.geteuid() != 0
    assert unreadable_fault(program, rootless=rootless) is None
    program.chmod(mode)
    assert unreadable_fault(program, rootless=rootless) is not None


def test_an_owner_may_not_read_it_either_unless_that_is_root(program: Path) -> None:
    """Who shares the owner's uid could look into it; and nobody but root may have put it there."""
    if os.geteuid() == 0:
        os.chown(program, 65534, 65534)
    program.chmod(0o711)
    assert "could read" in (unreadable_fault(program, rootless=True) or "")
    program.chmod(0o311)
    assert unreadable_fault(program, rootless=True) is None
    assert "not to root" in (unreadable_fault(program, rootless=False) or "")


def test_the_daemon_complains_of_it_when_it_starts(
    program: Path, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the first user is refused, who is refused all the same; nothing is said of a good one."""
    assert caplog.text == ""
    program.chmod(0o755)
    clients_with(program)
    assert f"no token is handed on (client-unusable): {program} has mode 0755" in caplog.text
    with pytest.raises(RefusedError) as caught:
        handed(clients, wish(), token())
    assert caught.value.reason is Reason.CLIENT_UNUSABLE


def test_a_kernel_that_shows_all_processes_gets_no_token(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mode of a file says nothing then."""
    setting = tmp_path / "suid_dumpable"
    monkeypatch.setattr("hoopjump.daemon.clients.SUID_DUMPABLE", setting)
    for value, handed_on in (("0\n", True), ("2\n", True), ("1\n", False)):
        setting.write_text(value)
        clients = clients_with(program)
        if handed_on:
            assert handed(clients, wish(), token())
            continue
        with pytest.raises(RefusedError) as caught:
            handed(clients, wish(), token())
        assert caught.value.reason is Reason.CLIENT_UNUSABLE
        assert "fs.suid_dumpable is 1" in (caught.value.detail or "")


def test_what_is_not_there_or_no_file_is_no_program(tmp_path: Path) -> None:
    """The log says which."""
    assert "cannot be found" in (unreadable_fault(tmp_path / "none", rootless=False) or "")
    assert "not a program" in (unreadable_fault(tmp_path, rootless=False) or "")
