"""What a session is told: refusals in words, plans, and what is left behind."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from hoopjump.audit.events import Kind
from hoopjump.daemon import processes, sessions, wire
from hoopjump.daemon.login import State
from hoopjump.decision.reasons import Reason
from hoopjump.decision.session import Role
from hoopjump.decision.values import Access
from hoopjump.gateway.client import GatewayError
from tests.daemon.yard import eventually
from tests.daemon_sessions.scene import (
    ALICE,
    BASH,
    PG,
    Scene,
    authenticate,
    key_line,
    lines,
    outcome,
    scene,
)

TTY = ("tty", "/dev/pts/7")


def left_behind(found: Scene) -> list[Path]:
    """Agent sockets and configurations that are still there."""
    return [*found.directory.glob("agents/*"), *found.directory.glob("handoff/*")]


def mode_of(path: bytes) -> int:
    return Path(path.decode()).stat().st_mode & 0o7777


def text_of(path: bytes) -> str:
    return Path(path.decode()).read_text()


# -- Who asks --------------------------------------------------------------------------------------------------------


def test_a_process_below_no_admitted_monitor_is_refused() -> None:
    """A hook started by hand has no login above it."""

    async def story() -> None:
        async with scene() as found:
            found.table.drop(found.login)
            answer = await found.ask(("command", "mybash"))
            assert outcome(answer) == ("refuse", "login-unknown")
            assert answer.text("exit") == "77"
            (event,) = found.events(Kind.SESSION_REFUSED)
            assert event.fields["pid"] == os.getpid()
            assert lines(answer) == [
                "hoopjump: This session does not belong to a login that hoopjump has admitted. "
                f"(login-unknown, ref {event.ref})"
            ]

    asyncio.run(story())


def test_strangers_do_not_fill_the_audit_trail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any local process may ask; each is answered, and what is recorded of its uid is bounded."""
    monkeypatch.setattr("hoopjump.daemon.sessions.STRANGERS_AT_ONCE", 3.0)

    async def story() -> None:
        async with scene() as found:
            found.table.drop(found.login)
            for _ in range(10):
                assert outcome(await found.ask(("command", "mybash"))) == ("refuse", "login-unknown")
            assert len(found.events(Kind.SESSION_REFUSED)) == 3

    asyncio.run(story())


def test_another_uid_below_the_monitor_is_refused() -> None:
    """Only the account's own processes are of the login."""

    async def story() -> None:
        async with scene() as found:
            found.change(uid=os.getuid() + 1)
            assert outcome(await found.ask(("command", "mybash"))) == ("refuse", "login-unknown")
            assert found.watch.opened == []

    asyncio.run(story())


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"\n",
        b"publickey\n",
        b"publickey ssh-ed25519 AAAA\n",
        b"password\n",
        b"\xff\xfe",
    ],
)
def test_without_the_certificate_there_is_no_session(content: bytes | None) -> None:
    """SSH_USER_AUTH that is absent, empty, damaged or about something else is a denial."""

    async def story() -> None:
        async with scene() as found:
            assert outcome(await found.ask(("command", "mybash"), user_auth=content)) == ("refuse", "login-mismatch")

    asyncio.run(story())


def test_another_certificate_than_the_admitted_one_is_refused() -> None:
    """A rewritten SSH_USER_AUTH names somebody whom this connection was not admitted as."""

    async def story() -> None:
        async with scene() as found:
            other = b"publickey " + key_line(found.new_certificate()).encode() + b"\n"
            assert outcome(await found.ask(("command", "mybash"), user_auth=other)) == ("refuse", "login-mismatch")
            both = found.user_auth + other
            assert outcome(await found.ask(("command", "mybash"), user_auth=both)) == ("refuse", "login-mismatch")

    asyncio.run(story())


def test_other_methods_beside_the_certificate_are_no_matter() -> None:
    """With a second factor sshd writes a line for it; there is still one public key."""

    async def story() -> None:
        async with scene() as found:
            content = found.user_auth + b"keyboard-interactive/pam\n"
            assert outcome(await found.ask(("command", "mybash"), TTY, user_auth=content))[0] == "exec"

    asyncio.run(story())


@pytest.mark.parametrize("how", ["deadline", "cut", "token taken back", "closed"])
def test_a_login_whose_time_is_over_starts_no_session(how: str) -> None:
    """A multiplexed connection that still stands at its end gets no new session, and its user reads why."""

    async def story() -> None:
        async with scene() as found:
            if how == "deadline":
                found.change(deadline=int(time.time()))
            elif how == "cut":
                found.login.cut = Reason.LOGIN_ENDED
            elif how == "token taken back":
                found.login.cut = Reason.TOKEN_REVOKED
            else:
                found.login.state = State.CLOSED
            code = "token-revoked" if how == "token taken back" else "login-ended"
            assert outcome(await found.ask(("command", "mybash"))) == ("refuse", code)

    asyncio.run(story())


def test_a_login_that_is_held_reads_why() -> None:
    """The decision is made again; its sentence is the user's, with a reference that finds the trace."""

    async def story() -> None:
        async with scene() as found:
            sentence = Reason.USER_INACTIVE.sentence(status="inactive")
            found.verdict = replace(found.verdict, access=Access.HOLD, reason=Reason.USER_INACTIVE, sentence=sentence)
            answer = await found.ask(("command", "mybash"))
            assert outcome(answer) == ("refuse", "user-inactive")
            ref = answer.text("ref")
            assert lines(answer) == [f"hoopjump: {sentence} (user-inactive, ref {ref})"]
            assert found.judged[0].account == "hoop"
            assert found.judged[0].source == "192.0.2.7"

    asyncio.run(story())


# -- What is wanted --------------------------------------------------------------------------------------------------


def test_an_unknown_role_is_refused_with_a_suggestion_and_a_hint() -> None:
    """The user reads what may have been meant, and what to do next."""

    async def story() -> None:
        async with scene() as found:
            answer = await found.ask(("command", "pgdmo"))
            ref = answer.text("ref")
            assert lines(answer) == [
                f"hoopjump: no such resource role 'pgdmo'; did you mean 'pgdemo'? (role-unknown, ref {ref})",
                "hoopjump: hint: `ssh bastion` alone lists the roles that you may use",
            ]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("command", "reason", "status"),
    [
        (b"x", "role-malformed", "64"),
        (b"-oProxyCommand=id", "role-malformed", "64"),
        (b"my;bash", "role-malformed", "64"),
        (b"scp -t /tmp", "role-missing-for-tool", "64"),
        (b"mongo", "role-type-unsupported", "77"),
        (b"pgdemo scp -t /tmp", "role-no-file-transfer", "77"),
        (b"mybash \0", "command-malformed", "64"),
        (b"mybash " + b"x" * 100_000, "command-too-long", "64"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(command: bytes, reason: str, status: str) -> None:
    """Each with its own reason and exit status, and nothing is left behind."""

    async def story() -> None:
        async with scene() as found:
            answer = await found.ask(("command", command))
            assert (outcome(answer), answer.text("exit")) == (("refuse", reason), status)
            assert left_behind(found) == []

    asyncio.run(story())


def test_a_certificate_without_permit_pty_gets_no_session() -> None:
    """The gateway wants it for every session; the user is told rather than left with 255."""

    async def story() -> None:
        async with scene() as found:
            found.certificate = found.new_certificate(extensions=())
            found.change(certificate=found.certificate)
            assert outcome(await found.ask(("command", "mybash"))) == ("refuse", "no-pty-permission")

    asyncio.run(story())


def test_an_approval_that_runs_lets_a_terminal_in() -> None:
    """A role that needs an approval is refused without one and open while one runs."""

    async def story() -> None:
        async with scene() as found:
            found.gateway.roles = [replace(BASH, review_jit=True)]
            assert outcome(await found.ask(("command", "mybash"), TTY)) == ("refuse", "role-review-required")
            found.gateway.approved = time.time() + 60
            assert outcome(await found.ask(("command", "mybash"), TTY))[0] == "exec"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("kind", "reason", "status"), [("slow", "gateway-slow", "75"), ("garbage", "gateway-unavailable", "69")]
)
@pytest.mark.parametrize("command", [b"mybash", None])
def test_a_gateway_that_fails_is_said_to(kind: str, reason: str, status: str, command: bytes | None) -> None:
    """Neither open nor silent; the details are for the log."""

    async def story() -> None:
        async with scene() as found:
            found.gateway.down = GatewayError(kind, "gateway: secret details")  # type: ignore[arg-type]
            answer = await found.ask(*(() if command is None else (("command", command),)))
            assert (outcome(answer), answer.text("exit")) == (("refuse", reason), status)
            assert "secret" not in "".join(lines(answer))
            assert found.events(Kind.SESSION_REFUSED)[0].fields["detail"] == "gateway: secret details"

    asyncio.run(story())


def test_a_gateway_that_hangs_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook has its answer while the gateway still thinks."""
    monkeypatch.setattr(sessions, "ANSWER_SECONDS", 0.5)

    async def story() -> None:
        async with scene() as found:
            found.gateway.hold = threading.Event()
            answer = await found.ask(("command", "mybash"))
            assert outcome(answer) == ("refuse", "gateway-slow")
            assert not found.gateway.hold.is_set()

    asyncio.run(story())


# -- No role named ---------------------------------------------------------------------------------------------------


def test_without_a_role_and_without_a_terminal_the_list_is_printed() -> None:
    """The list goes to standard output, the reason to standard error, and the exit status is that of wrong usage."""

    async def story() -> None:
        async with scene() as found:
            found.gateway.roles[0] = replace(BASH, online=False, review_command=True)
            answer = await found.ask()
            assert (outcome(answer), answer.text("exit")) == (("refuse", "role-missing"), "64")
            assert [line.split("  ")[0].rstrip() for line in lines(answer, "stdout")] == [
                "RESOURCE ROLE",
                "mybash",
                "web1",
                "pgdemo",
                "mongo",
            ]
            rows = {line.split()[0]: line for line in lines(answer, "stdout")}
            assert "offline, commands need approval" in rows["mybash"]
            assert rows["web1"].endswith("ssh -t BASTION web1; ssh BASTION web1 COMMAND")
            assert rows["pgdemo"].endswith("echo 'SELECT 1' | ssh BASTION pgdemo")
            assert rows["mongo"].endswith("not over SSH")

    asyncio.run(story())


def test_somebody_without_any_role_is_told_so() -> None:
    """An empty list is a sentence."""

    async def story() -> None:
        async with scene() as found:
            found.gateway.roles = []
            for more in ((), (TTY,)):
                answer = await found.ask(*more)
                assert lines(answer, "stdout") == ["There is no resource role that you may use."]

    asyncio.run(story())


@pytest.mark.parametrize("choice", ["mybash", " myb "])
def test_on_a_terminal_a_role_can_be_chosen(choice: str) -> None:
    """The list is shown with a prompt; a name, or the beginning of just one, is an answer."""

    async def story() -> None:
        async with scene() as found:
            shown = await found.ask(TTY)
            assert (outcome(shown)[0], shown.text("prompt")) == ("choose", "resource role: ")
            assert any(line.startswith("mybash ") for line in lines(shown))
            answer = await found.ask(TTY, ("choice", choice))
            assert outcome(answer)[0] == "exec"
            assert answer.many("argv")[-1] == b"mybash"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("choice", "reason"),
    [(b"", "role-missing"), (b"1", "role-unknown"), (b"m", "role-unknown"), (b"\x1b[2J\xff", None)],
)
def test_an_answer_that_means_no_role_is_refused(choice: bytes, reason: str | None) -> None:
    """Nothing, a number, the beginning of two, an escape sequence: refused, and shown back harmlessly."""

    async def story() -> None:
        async with scene() as found:
            answer = await found.ask(TTY, ("choice", choice))
            assert outcome(answer) == ("refuse", reason or "role-unknown")
            assert all(line.isprintable() for line in lines(answer))

    asyncio.run(story())


# -- Plans -----------------------------------------------------------------------------------------------------------


def test_a_terminal_without_a_command_becomes_ssh() -> None:
    """An interactive command-line role: ssh with a terminal, the user's TERM, and the role as its command."""

    async def story() -> None:
        async with scene() as found:
            answer = await found.ask(("command", "mybash"), TTY, ("term", "xterm-256color"))
            assert outcome(answer)[0] == "exec"
            argv = answer.many("argv")
            assert argv[0] == b"/usr/bin/ssh"
            assert argv[3:] == [b"-tt", b"gateway", b"--", b"mybash"]
            assert b"TERM=xterm-256color" in answer.many("env")
            assert mode_of(argv[2]) == 0o600
            assert '  User "alice@x.io"\n' in text_of(argv[2])
            assert found.watch.opened == [found.login]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("name", "pairs", "remote"),
    [
        ("web1", (("command", b"web1 git-upload-pack 'a b'"),), b"web1 git-upload-pack 'a b'"),
        ("web1", (("command", b"internal-sftp"), ("resource", "web1")), b"web1 /usr/lib/openssh/sftp-server"),
        ("web1", (("command", b"scp -t /tmp\xff"), ("resource", "web1")), b"web1 scp -t /tmp\xff"),
    ],
)
def test_roles_of_type_ssh_become_ssh(name: str, pairs: tuple[tuple[str, bytes | str], ...], remote: bytes) -> None:
    """File transfer and git run unmodified: bytes as they came, without a terminal."""

    async def story() -> None:
        async with scene() as found:
            answer = await found.ask(*pairs)
            assert (outcome(answer)[0], answer.many("argv")[3:]) == ("exec", [b"-T", b"gateway", b"--", remote])
            assert found.events(Kind.SESSION_STARTED)[0].fields["role"] == name

    asyncio.run(story())


@pytest.mark.parametrize(
    ("pairs", "stdin"),
    [
        ((("command", "mybash ls"),), "auto"),
        ((("command", "mybash ls"), TTY), "auto"),
        ((("command", "mybash ls"), ("stdin", "none")), "none"),
        ((("command", "mybash ls"), ("stdin", "nonsense")), "auto"),
        ((("command", "pgdemo"),), "wait"),
        ((("command", "pgdemo"), ("stdin", "none")), "none"),
    ],
)
def test_what_must_be_sent_whole_is_gathered_first(pairs: tuple[tuple[str, str], ...], stdin: str) -> None:
    """The plan says how to gather; nothing is minted before there is something to run."""

    async def story() -> None:
        async with scene("[session]\nstdin_limit = 1000\nstdin_wait = 0.25") as found:
            answer = await found.ask(*pairs)
            assert (outcome(answer)[0], answer.text("stdin")) == ("spool", stdin)
            assert (answer.text("stdin-wait-ms"), answer.text("stdin-limit")) == ("250", "1000")
            assert left_behind(found) == []
            assert found.events(Kind.HANDOFF_ISSUED) == []

    asyncio.run(story())


@pytest.mark.parametrize("status", [0, 1, 7, 130, 254])
def test_a_spooled_session_exits_as_its_ssh_did(status: int) -> None:
    """The hook tells the status, and is told to exit with it; then nothing is left behind."""

    async def story() -> None:
        async with scene() as found, found.call(("stage", "run"), ("command", "mybash ls")) as talk:
            plan = await talk.hear()
            assert (outcome(plan)[0], plan.text("output-buffer")) == ("run", str(64 * 1024 * 1024))
            assert plan.many("argv")[3:] == [b"-T", b"gateway", b"--", b"mybash ls"]
            assert len(found.login.session_processes) == 1
            await talk.say(("verb", "status"), ("exit", str(status)))
            answer = await talk.hear()
            assert (outcome(answer)[0], answer.text("exit"), lines(answer)) == ("exit", str(status), [])
            await eventually(lambda: found.events(Kind.SESSION_ENDED))
            assert found.events(Kind.SESSION_ENDED)[0].fields["exit"] == status
            assert left_behind(found) == []
            assert found.login.session_processes == set()

    asyncio.run(story())


@pytest.mark.parametrize("row", [0, 3, 255])
def test_a_status_that_was_lost_is_looked_up(row: int) -> None:
    """255 may be the gateway's early goodbye: its session row knows the real one."""

    async def story() -> None:
        async with scene() as found, found.call(("stage", "run"), ("command", "mybash ls")) as talk:
            found.gateway.status = row
            await authenticate(await talk.hear())
            await talk.say(("verb", "status"), ("exit", "255"))
            answer = await talk.hear()
            assert (answer.text("exit"), lines(answer)) == (str(row), [])

    asyncio.run(story())


@pytest.mark.parametrize("row", [0, 7])
def test_output_that_may_be_cut_is_not_taken_for_whole(row: int) -> None:
    """An ssh whose connection broke may have read only part: the session row's status is told, not exited with."""

    async def story() -> None:
        async with scene() as found, found.call(("stage", "run"), ("command", "mybash ls")) as talk:
            found.gateway.status = row
            await authenticate(await talk.hear())
            await talk.say(("verb", "status"), ("exit", "255"), ("broken", "1"))
            answer = await talk.hear()
            assert answer.text("exit") == "255"
            assert f"ended with exit status {row}, part of its output may be missing" in lines(answer)[0]

    asyncio.run(story())


def test_a_status_that_nobody_knows_is_said_to_be_unknown() -> None:
    """The user is told, and no script takes the command for done."""

    async def story() -> None:
        async with scene() as found, found.call(("stage", "run"), ("command", "mybash ls")) as talk:
            await authenticate(await talk.hear())
            await talk.say(("verb", "status"), ("exit", "255"))
            answer = await talk.hear()
            assert answer.text("exit") == "255"
            assert "whether the command did its work is not known" in lines(answer)[0]

    asyncio.run(story())


def test_an_ssh_that_was_never_let_in_has_run_nothing() -> None:
    """A 255 of an ssh that had nothing signed: the gateway could not be reached, whatever its rows may say."""

    async def story() -> None:
        async with scene() as found, found.call(("stage", "run"), ("command", "mybash ls")) as talk:
            found.gateway.status = 0
            await talk.hear()
            await talk.say(("verb", "status"), ("exit", "255"))
            answer = await talk.hear()
            assert answer.text("exit") == "69"
            (event,) = found.events(Kind.SESSION_REFUSED)
            assert event.fields["reason"] == "gateway-unavailable"
            assert lines(answer)[0].endswith(f"(gateway-unavailable, ref {event.ref})")

    asyncio.run(story())


@pytest.mark.parametrize("said", [(("verb", "status"), ("exit", "-1")), (("verb", "status"),), (("verb", "session"),)])
def test_a_status_that_is_none_ends_the_session(said: tuple[tuple[str, str], ...]) -> None:
    """Garbage is refused, and the handover is taken back."""

    async def story() -> None:
        async with scene() as found, found.call(("stage", "run"), ("command", "mybash ls")) as talk:
            await talk.hear()
            await talk.say(*said)
            answer = await talk.hear()
            assert outcome(answer) == ("refuse", "protocol")
            assert lines(answer)[0].startswith("hoopjump: ")
            assert left_behind(found) == []

    asyncio.run(story())


def test_a_hook_that_goes_away_leaves_nothing_behind() -> None:
    """A connection that ends without a status takes the agent and the configuration with it."""

    async def story() -> None:
        async with scene() as found:
            async with found.call(("stage", "run"), ("command", "mybash ls")) as talk:
                await talk.hear()
                assert len(left_behind(found)) == 2
            await eventually(lambda: not left_behind(found))
            await eventually(lambda: found.events(Kind.SESSION_ENDED))
            assert "exit" not in found.events(Kind.SESSION_ENDED)[0].fields

    asyncio.run(story())


def test_the_end_of_a_process_that_became_ssh_is_noticed() -> None:
    """A terminal's session ends with its process: the trail says so, and nothing is left behind."""

    async def story() -> None:
        async with scene() as found:
            frame = _frame(found, ("command", "mybash"), TTY)
            program = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
            program += "s.sendall(bytes.fromhex(sys.argv[2])); s.recv(65536); sys.stdin.read()"
            socket = str(found.config.daemon.socket)
            child = await asyncio.create_subprocess_exec(
                "python3", "-c", program, socket, frame.hex(), stdin=asyncio.subprocess.PIPE
            )
            await eventually(lambda: len(left_behind(found)) == 2)
            assert {one.pid for one in found.login.session_processes} == {child.pid}
            await child.communicate(b"")
            await eventually(lambda: found.events(Kind.SESSION_ENDED))
            assert left_behind(found) == []
            assert found.login.session_processes == set()

    asyncio.run(story())


def _frame(found: Scene, *pairs: tuple[str, str]) -> bytes:
    return wire.encode([("verb", "session"), *pairs, ("user-auth", found.user_auth)])


def test_a_login_that_closes_takes_its_handovers_with_it() -> None:
    """When the monitor ends, what the login's sessions were given is taken back."""

    async def story() -> None:
        async with scene() as found:
            await found.ask(("command", "mybash"), TTY)
            assert len(left_behind(found)) == 2
            for closer in list(found.login.closers):
                closer()
            assert left_behind(found) == []

    asyncio.run(story())


def test_the_trail_joins_the_two_certificates() -> None:
    """Who came with which certificate, and which was minted for the gateway, stand in one event of the session."""

    async def story() -> None:
        async with scene() as found:
            await found.ask(("command", "mybash"), TTY)
            (issued,), (started,) = found.events(Kind.HANDOFF_ISSUED), found.events(Kind.SESSION_STARTED)
            assert issued.ref == started.ref
            assert issued.fields["login"] == "login234"
            assert issued.fields["certificate"] is not None
            assert issued.fields["certificate"]["serial"] == "42"
            assert issued.fields["handoff"]["key_id"] == "hoopjump login login234"
            assert issued.fields["handoff"]["valid_before"] == found.login.admission.deadline
            assert (started.fields["verb"], started.fields["way"]) == ("connect", "exec")
            assert started.fields["user"] == ALICE.email

    asyncio.run(story())


@pytest.mark.parametrize("seconds", [30, 599])
def test_the_end_of_the_login_is_announced(seconds: int) -> None:
    """Within ten minutes of the deadline the user is told when it comes."""

    async def story() -> None:
        async with scene() as found:
            found.change(deadline=int(time.time()) + seconds)
            for pairs in (("command", "mybash"), TTY), (("command", "mybash ls"),):
                (line,) = lines(await found.ask(*pairs), "notice")
                assert "this login ends in" in line

    asyncio.run(story())


def test_a_user_whom_the_gateway_will_cut_is_told_so() -> None:
    """What the gateway did to the last long session is said before the next one, on terminals only."""

    async def story() -> None:
        async with scene() as found:
            found.gateway.notice = "the gateway cut your last long session"
            notices = lines(await found.ask(("command", "mybash"), TTY), "notice")
            assert notices == ["hoopjump: the gateway cut your last long session"]
            assert lines(await found.ask(("command", "web1 ls")), "notice") == []

    asyncio.run(story())


def test_without_the_gateways_host_key_nothing_is_handed_over() -> None:
    """An unpinned gateway is refused before a certificate exists."""

    async def story() -> None:
        async with scene() as found:
            found.known_hosts.write_text("# nothing yet\n")
            answer = await found.ask(("command", "mybash"), TTY)
            assert outcome(answer) == ("refuse", "gateway-host-key-unknown")
            assert left_behind(found) == []

    asyncio.run(story())


def test_what_cannot_be_recorded_does_not_run() -> None:
    """With no sink that takes events there are no sessions, and the user is told that something is wrong."""

    async def story() -> None:
        async with scene() as found:
            found.sink.broken = True
            answer = await found.ask(("command", "mybash"), TTY)
            assert outcome(answer) == ("refuse", "internal")
            assert left_behind(found) == []

    asyncio.run(story())


def test_an_identity_that_cannot_be_a_login_name_is_refused() -> None:
    """A value that could say more in ssh's configuration never gets there."""

    async def story() -> None:
        async with scene() as found:
            found.verdict = replace(found.verdict, identity="alice\nProxyCommand id")
            answer = await found.ask(("command", "mybash"), TTY)
            assert outcome(answer) == ("refuse", "identity-unusable")
            assert left_behind(found) == []

    asyncio.run(story())


def test_a_role_that_goes_offline_is_said_to() -> None:
    """Exit status 69: unavailable."""

    async def story() -> None:
        async with scene() as found:
            found.gateway.roles = [Role("pgdemo", "database", "postgres", online=False)]
            answer = await found.ask(("command", "pgdemo"))
            assert (outcome(answer), answer.text("exit")) == (("refuse", "role-offline"), "69")

    asyncio.run(story())


def test_what_an_earlier_daemon_left_is_removed() -> None:
    """Sockets without a key and configurations without a socket are gone after a restart."""

    async def story() -> None:
        async with scene() as found:
            await found.ask(("command", "mybash"), TTY)
            assert len(left_behind(found)) == 2
            await found.server.stop(1.0)
            found.sessions.stop()
            await found.start()
            assert left_behind(found) == []
            assert processes.alive(found.login.monitor)
            assert outcome(await found.ask(("command", PG.name)))[0] == "spool"

    asyncio.run(story())


def test_sessions_of_one_user_share_the_memory_for_unread_output() -> None:
    """The first eight have a whole buffer; who opens many more gets less for each, and all of it again afterwards."""

    async def story() -> None:
        async with scene() as found:
            buffers = []
            async with AsyncExitStack() as stack:
                for _ in range(16):
                    talk = await stack.enter_async_context(found.call(("stage", "run"), ("command", "mybash ls")))
                    buffers.append(int((await talk.hear()).text("output-buffer") or 0))
            whole = 64 * 1024 * 1024
            assert buffers[:8] == [whole] * 8
            assert buffers[15] == whole // 2
            await eventually(lambda: len(found.events(Kind.SESSION_ENDED)) == 16)
            answer = await found.ask(("stage", "run"), ("command", "mybash ls"))
            assert answer.text("output-buffer") == str(whole)

    asyncio.run(story())


@pytest.mark.parametrize(("told", "carrier"), [((), "ProxyCommand none"), ((("relay", "1"),), "hook relay %h %p")])
def test_a_hook_is_used_as_relay_only_if_it_says_that_it_is_one(
    told: tuple[tuple[str, str], ...], carrier: str
) -> None:
    """A daemon may be a version newer than the hook."""

    async def story() -> None:
        async with scene() as found, found.call(("stage", "run"), ("command", "mybash ls"), *told) as talk:
            assert outcome(await talk.hear())[0] == "run"
            (config,) = found.directory.glob("handoff/*.conf")
            assert carrier in config.read_text()

    asyncio.run(story())
