"""Logins begin, end and are ended: at the certificate's end, by an administrator, across restarts of the daemon."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from hoopjump.daemon.processes import Process, alive, descendants, find
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import Identity
from hoopjump.dev.services import answers, free_port, listening, wait_for
from tests.bastion.below import newest_row
from tests.bastion.proof import assert_logged, events_of, gateway_address, hoopjump, new_mark, serial_of, told
from tests.bastion.ways import started
from tests.conftest import need_bastion

# Long enough to have everything running before the end, short enough to wait for.
SOON: Final = "-1m:+7s"
BANNER: Final = b"SSH-2.0-"


@pytest.fixture(scope="module")
def own() -> Iterator[Bastion]:
    """A bastion of this file's own, since its daemon is restarted and its gateway asked anew each time."""
    need_bastion()
    with Bastion(settings={"gateway": {"cache": 0}}) as running:
        # A forward that is open and says nothing would hold up every other login at the gateway.
        running.gateway.faults(early_close=False, serial_handshake=False)
        yield running


def logins(bastion: Bastion) -> list[dict[str, Any]]:
    """What ``hoopjump logins list`` shows."""
    rows: list[dict[str, Any]] = json.loads(hoopjump("logins", "list", "--json", config=bastion.config).stdout)
    return rows


def admitted(bastion: Bastion, identity: Identity) -> str:
    """The reference of the login that a certificate was admitted for."""

    def found() -> str | None:
        events = events_of(bastion, identity)
        return next((str(event["ref"]) for event in events if event["kind"] == "admitted"), None)

    ref = wait_for(found, what="the admission")
    assert ref is not None
    return ref


def opened(bastion: Bastion, identity: Identity) -> str:
    """The same, once the login is open."""
    ref = admitted(bastion, identity)
    bastion.wait_for_event(kind="login-opened", login=ref)
    return ref


@dataclass(frozen=True, slots=True)
class Busy:
    """One connection with everything on it: its login, a forward in use, a running session, and who serves them."""

    login: str
    identity: Identity
    control: Path
    port: int
    question: Path
    master: subprocess.Popen[bytes]
    session: subprocess.Popen[bytes]
    forwarded: socket.socket
    serving: list[Process]

    def works(self) -> None:
        """The session answers, the forward is open, and it takes further connections."""
        self.question.touch()
        assert self.session.stdout is not None
        assert self.session.stdout.readline() == b"here\n"
        assert select.select([self.forwarded], [], [], 0) == ([], [], [])
        assert answers(self.port).startswith(BANNER)
        assert all(alive(process) for process in self.serving)

    def is_over(self, seconds: float = 15) -> None:
        """Wait for the end of every channel and of every process that served them."""
        self.forwarded.settimeout(seconds)
        rest = b"more"
        while rest:
            try:
                rest = self.forwarded.recv(4096)
            except ConnectionResetError:
                break
        assert self.master.wait(seconds) == 255
        assert self.session.wait(seconds) == 255
        wait_for(lambda: not any(alive(process) for process in self.serving), seconds, "the end of every process")


@contextmanager
def busy(bastion: Bastion, valid: str = "-1m:+1h") -> Iterator[Busy]:
    """A multiplexed connection with a forward in use and a session that runs."""
    identity, control, port = bastion.certificate("alice", valid=valid), new_mark(bastion), free_port()
    forward = f"127.0.0.1:{port}:{gateway_address(bastion)}"
    master = bastion.ssh_command(options=("-M", "-N", "-S", str(control), "-L", forward), identity=identity)
    question = new_mark(bastion)
    answering = f"while sleep 0.02; do if rm {question} 2>&-; then echo here; fi; done"
    channel = bastion.ssh_command("mybash", answering, identity=identity, options=("-S", str(control)))
    with ExitStack() as stack:
        running = stack.enter_context(started(master))
        wait_for(lambda: control.exists() and listening(port), what="the connection")
        forwarded = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        assert forwarded.recv(64).startswith(BANNER)
        # With its input at an end a command runs at once.
        session = stack.enter_context(started(channel, stdin=subprocess.DEVNULL))
        question.touch()
        assert session.stdout is not None
        assert session.stdout.readline() == b"here\n"
        login = opened(bastion, identity)
        monitor = find(bastion.wait_for_event(kind="login-opened", login=login)["pid"])
        assert monitor is not None
        yield Busy(
            login, identity, control, port, question, running, session, forwarded, [monitor, *descendants(monitor)]
        )


def new_channel(bastion: Bastion, busy: Busy, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """One more session on a connection that is there already; without the connection there is none."""
    return bastion.ssh(
        *arguments, identity=busy.identity, options=("-S", str(busy.control), "-o", "ProxyCommand=false")
    )


# -- Seen, though no session hook runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["-N", "-W", "-J"])
def test_a_login_without_a_session_is_seen(bastion: Bastion, patient_gateway: None, kind: str) -> None:
    """Forwards and jumps never run ForceCommand; they are open and closed in the trail and in the list all the same."""
    identity = bastion.certificate("bob")
    options = {"-N": ("-N",), "-W": ("-W", gateway_address(bastion)), "-J": ("-J", "bastion")}[kind]
    argv = bastion.ssh_command(
        *(["mybash", "sleep 1000"] if kind == "-J" else []),
        options=options,
        identity=identity,
        host="gateway" if kind == "-J" else "bastion",
    )
    with started(argv):
        ref = opened(bastion, identity)
        (row,) = [row for row in logins(bastion) if row["login"] == ref]
        assert (row["state"], row["user"], row["account"]) == ("open", "bob@example.com", bastion.account)
        assert row["sessions"] == 0
        assert row["certificate"]["serial"] == serial_of(identity)
    closed = bastion.wait_for_event(kind="login-closed", login=ref)
    assert closed["seconds"] > 0
    assert ref not in {row["login"] for row in logins(bastion)}
    kinds = [event["kind"] for event in bastion.audit() if event.get("login") == ref]
    assert kinds == ["admitted", "login-opened", "login-closed"]


def test_an_admission_that_becomes_no_login_is_none(bastion: Bastion) -> None:
    """A certificate that is shown by somebody without its key: never open, and forgotten with the connection."""
    shown, other = bastion.certificate("alice"), bastion.workshop.key("somebody")
    before = len(bastion.audit())
    done = bastion.ssh("mybash", "true", identity=Identity(other.key, shown.certificate))
    assert done.returncode == 255
    ref = admitted(bastion, shown)
    bastion.wait_for_event(kind="forgotten", ref=ref)
    assert {event["kind"] for event in bastion.audit()[before:] if event.get("login") == ref} == {
        "admitted",
        "forgotten",
    }


# -- The certificate's end --------------------------------------------------------------------------------------------


def test_everything_ends_with_the_certificate(own: Bastion) -> None:
    """Forward, session and connection are cut at the certificate's end, and the multiplexed connection with them."""
    with busy(own, SOON) as channels:
        channels.works()
        deadline = own.wait_for_event(kind="login-opened", login=channels.login)["deadline"]
        assert b"login ends in" in new_channel(own, channels, "mybash", "true").stderr
        channels.is_over()
        assert time.time() >= deadline
        assert own.wait_for_event(kind="login-cut", login=channels.login)["reason"] == "login-ended"
        own.wait_for_event(kind="login-closed", login=channels.login)
        wait_for(lambda: own.gateway.sessions(limit="1")[0]["status"] == "done", what="the end at the gateway")
        done = new_channel(own, channels, "mybash", "true")
        assert (done.returncode, done.stdout) == (255, b"")
        done = own.ssh("mybash", "true", identity=channels.identity)
        assert b"Permission denied" in done.stderr
        assert {event["reason"] for event in events_of(own, channels.identity) if event["kind"] == "denied"} == {
            "cert-expired"
        }


def test_jumps_and_pipes_end_with_the_certificate(own: Bastion) -> None:
    """`-J`, `-W` and `-N` have no session hook; they are cut like every other login."""
    clients: list[tuple[str, subprocess.Popen[bytes]]] = []
    with ExitStack() as stack:
        for options, host, arguments in (
            (("-J", "bastion"), "gateway", ("mybash", "sleep 1000")),
            (("-W", gateway_address(own)), "bastion", ()),
            (("-N",), "bastion", ()),
        ):
            identity = own.certificate("bob", valid="-1m:+8s")
            argv = own.ssh_command(*arguments, options=options, identity=identity, host=host)
            clients.append((serial_of(identity), stack.enter_context(started(argv))))
        for serial, client in clients:
            assert client.wait(20) == 255
            event = next(
                event
                for event in own.audit()
                if event["kind"] == "admitted" and event["certificate"]["serial"] == serial
            )
            assert own.wait_for_event(kind="login-cut", login=event["ref"])["reason"] == "login-ended"
            assert time.time() >= event["deadline"]
            own.wait_for_event(kind="login-closed", login=event["ref"])


def test_a_login_has_a_longest_life(new_bastion: Callable[..., Bastion]) -> None:
    """`session.max_login` ends a login whose certificate would last longer."""
    short = new_bastion(settings={"session": {"max_login": 6}})
    identity = short.certificate("alice")
    with started(short.ssh_command(options=("-N",), identity=identity)) as client:
        ref = opened(short, identity)
        assert client.wait(20) == 255
        short.wait_for_event(kind="login-cut", login=ref)


# -- Who may go on ----------------------------------------------------------------------------------------------------


def test_a_new_channel_of_a_deactivated_user_is_refused(own: Bastion) -> None:
    """Every session is decided afresh: on a connection that is there already, too."""
    with busy(own) as channels:
        assert new_channel(own, channels, "mybash", "echo here").stdout == b"here\n"
        own.gateway.set_user("alice@example.com", status="inactive")
        try:
            mark, row = new_mark(own), newest_row(own)
            done = new_channel(own, channels, "mybash", f"touch {mark}")
            assert (done.returncode, done.stdout) == (77, b"")
            code, ref = told(done)
            assert code == "user-inactive"
            assert_logged(own, ref, code)
            assert not mark.exists()
            assert newest_row(own) == row
        finally:
            own.gateway.set_user("alice@example.com", status="active")
        assert new_channel(own, channels, "mybash", "echo again").stdout == b"again\n"


# -- Administration ---------------------------------------------------------------------------------------------------


def test_an_administrator_lists_and_ends_a_login(own: Bastion) -> None:
    """`hoopjump logins list` shows who is there, `end` cuts that login with all its channels and leaves the others."""
    other = own.certificate("bob")
    with busy(own) as channels, started(own.ssh_command(options=("-N",), identity=other)) as bystander:
        others = opened(own, other)
        shown = hoopjump("logins", "list", config=own.config).stdout
        line = next(line for line in shown.splitlines() if line.startswith(channels.login))
        assert line.split()[1:4] == ["open", "alice@example.com", own.account]
        (row,) = [row for row in logins(own) if row["login"] == channels.login]
        assert row["sessions"] == 1
        hoopjump("logins", "end", channels.login, config=own.config)
        channels.is_over()
        assert own.wait_for_event(kind="login-cut", login=channels.login)["detail"] == f"ended by uid {os.geteuid()}"
        own.wait_for_event(kind="login-closed", login=channels.login)
        done = new_channel(own, channels, "mybash", "true")
        assert (done.returncode, done.stdout) == (255, b"")
        assert bystander.poll() is None
        assert {row["login"] for row in logins(own)} == {others}
    own.wait_for_event(kind="login-closed", login=others)


def test_no_other_uid_administrates(own: Bastion, private_view: None) -> None:
    """Who is neither root nor the daemon sees no logins and ends none."""
    with busy(own) as channels:
        for account in ("hoop", "admin", "hoopjump-hook"):
            done = hoopjump("logins", "end", channels.login, config=own.config, account=account, status=1)
            assert "not allowed" in done.stderr
            done = hoopjump("logins", "list", config=own.config, account=account, status=1)
            assert channels.login not in done.stdout
        channels.works()


def test_a_reference_is_explained(bastion: Bastion) -> None:
    """`hoopjump explain REF`: what a user has read leads to the checks that were made, and to the one that failed."""
    done = bastion.ssh("mybash", "true", identity=bastion.certificate("carol"))
    code, ref = told(done)
    assert code == "user-inactive"
    text = hoopjump("explain", ref, config=bastion.config).stdout
    assert "session-refused" in text
    assert re.search(r"^ *FAIL +user-active +inactive$", text, re.MULTILINE), text
    assert "user-inactive" in text
    expired = bastion.certificate("alice", valid="-2h:-1h")
    assert bastion.ssh("mybash", "true", identity=expired).returncode == 255
    (ref,) = {event["ref"] for event in events_of(bastion, expired)}
    text = hoopjump("explain", ref, config=bastion.config).stdout
    assert "cert-expired" in text


# -- Restarts of the daemon -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_logins_outlive_the_daemon(own: Bastion, how: str) -> None:
    """After a restart the same logins are there, new channels belong to them, and their ends are seen."""
    with busy(own) as channels:
        {"restart": own.restart_daemon, "kill": own.kill_daemon}[how]()
        channels.works()
        (row,) = [row for row in logins(own) if row["login"] == channels.login]
        assert (row["state"], row["user"]) == ("open", "alice@example.com")
        done = new_channel(own, channels, "mybash", "echo here")
        assert (done.returncode, done.stdout) == (0, b"here\n"), done.stderr
        session = [event for event in own.audit() if event["kind"] == "session-started"][-1]
        assert session["login"] == channels.login
        channels.works()
    own.wait_for_event(kind="login-closed", login=channels.login)
    kinds = [event["kind"] for event in own.audit() if event.get("login") == channels.login]
    assert kinds.count("login-opened") == 1


def test_the_deadline_outlives_the_daemon(own: Bastion) -> None:
    """A login's end is kept by the daemon that is there when it comes."""
    with busy(own, SOON) as channels:
        own.kill_daemon()
        own.restart_daemon()
        channels.works()
        channels.is_over()
        own.wait_for_event(kind="login-cut", login=channels.login)
        own.wait_for_event(kind="login-closed", login=channels.login)


def test_a_deadline_that_passed_without_a_daemon_is_made_good(own: Bastion) -> None:
    """Nobody cuts while no daemon runs; the next one does so at its start, and closes what has ended meanwhile."""
    gone = own.certificate("bob")
    with busy(own, SOON) as channels, started(own.ssh_command(options=("-N",), identity=gone)) as client:
        ref = opened(own, gone)
        deadline = own.wait_for_event(kind="login-opened", login=channels.login)["deadline"]
        own.stop_daemon()
        try:
            client.kill()
            wait_for(lambda: time.time() > deadline + 0.5, what="the deadline")
            # The gateway has ended the session, whose handoff certificate was over; the connection is still there.
            assert channels.session.wait(10) == 255
            assert answers(channels.port).startswith(BANNER)
        finally:
            own.start_daemon()
        channels.is_over()
        own.wait_for_event(kind="login-cut", login=channels.login)
        own.wait_for_event(kind="login-closed", login=ref)
