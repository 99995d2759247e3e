"""The question of sshd, asked by a child of a process that stands for its monitor."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import time

import pytest

from hoopjump.audit.events import Kind
from hoopjump.daemon import wire
from hoopjump.daemon.login import State
from hoopjump.decision.values import Access, User
from tests.daemon.yard import ALICE, ROOT, Authority, eventually, outcome, read_reply, yard


def test_good_certificate_is_admitted_with_a_line() -> None:
    """The hook reads the line to print, and the login is remembered with who it is and what was decided."""

    async def story() -> None:
        async with yard() as place:
            certificate = place.authority.certificate(ALICE.email)
            monitor = await place.monitor()
            reply = await monitor.hook(certificate)
            assert reply.text("outcome") == "line"
            assert reply.text("line") == ('restrict,pty,port-forwarding,permitopen="127.0.0.1:12222" alice@x.io')
            login = place.table.on(monitor.process)
            assert login is not None
            assert login.state is State.ADMITTED
            assert login.admission.user == ALICE
            assert login.admitted_with(certificate)
            assert place.sink.kinds() == [Kind.ADMITTED]
            assert place.sink.events[0].fields["login"] == login.ref

    asyncio.run(story())


def test_second_question_about_the_same_certificate_says_nothing_new() -> None:
    """The server asks for the query and for the signed request: one event, one reference."""

    async def story() -> None:
        async with yard() as place:
            certificate = place.authority.certificate(ALICE.email)
            monitor = await place.monitor()
            await monitor.hook(certificate)
            first = next(iter(place.table)).ref
            await monitor.hook(certificate)
            assert [login.ref for login in place.table] == [first]
            assert place.sink.kinds() == [Kind.ADMITTED]

    asyncio.run(story())


def test_last_admission_on_a_monitor_wins() -> None:
    """A client that offers several certificates is who the last one says."""

    async def story() -> None:
        async with yard() as place:
            bob = User("auth0|bob", "bob@x.io", "active")
            place.directory_of_users.users[bob.email] = bob
            monitor = await place.monitor()
            await monitor.hook(place.authority.certificate(ALICE.email))
            last = place.authority.certificate(bob.email)
            await monitor.hook(last)
            (login,) = place.table
            assert login.admission.user == bob
            assert login.admitted_with(last)
            assert place.sink.kinds() == [Kind.ADMITTED, Kind.ADMITTED]
            assert place.sink.events[0].ref != place.sink.events[1].ref

    asyncio.run(story())


@pytest.mark.parametrize(
    ("users", "reason"),
    [([], "user-unknown"), ([User("auth0|alice", ALICE.email, "inactive")], "user-inactive")],
)
def test_certificate_of_one_who_may_not_go_on_is_held(users: list[User], reason: str) -> None:
    """They are let in to nothing, so that the session can tell them why."""

    async def story() -> None:
        async with yard() as place:
            place.directory_of_users.users = {user.email: user for user in users}
            monitor = await place.monitor()
            reply = await monitor.hook(place.authority.certificate(ALICE.email))
            assert reply.text("line") == "restrict,pty alice@x.io"
            (login,) = place.table
            assert (login.admission.access, login.admission.reason.code) == (Access.HOLD, reason)
            assert place.sink.kinds() == [Kind.HELD]

    asyncio.run(story())


def test_certificate_at_fault_is_denied_and_not_remembered() -> None:
    """A foreign authority, an expired certificate and garbage are denied, each with its reason, without a login."""

    async def story() -> None:
        async with yard() as place:
            monitor = await place.monitor()
            replies = [
                await monitor.hook(Authority().certificate(ALICE.email)),
                await monitor.hook(place.authority.certificate(ALICE.email, seconds=-1)),
                await monitor.hook("AAAA"),
            ]
            assert [outcome(reply) for reply in replies] == [
                ("deny", "cert-untrusted-ca"),
                ("deny", "cert-expired"),
                ("deny", "cert-malformed"),
            ]
            assert len(place.table) == 0
            assert place.sink.kinds() == [Kind.DENIED] * 3
            assert [event.ref for event in place.sink.events] == [reply.text("ref") for reply in replies]
            assert place.directory_of_users.asked[1:] == []

    asyncio.run(story())


def test_authorities_are_read_again_when_their_file_changes() -> None:
    """A new CA counts from the next login on, a removed one no more."""

    async def story() -> None:
        async with yard() as place:
            other = Authority()
            monitor = await place.monitor()
            (place.directory / "fresh").write_text(other.line)
            (place.directory / "fresh").replace(place.directory / "ca.pub")
            assert outcome(await monitor.hook(other.certificate(ALICE.email))) == ("line", None)
            assert outcome(await monitor.hook(place.authority.certificate(ALICE.email)))[1] == "cert-untrusted-ca"
            (place.directory / "ca.pub").unlink()
            assert outcome(await monitor.hook(other.certificate(ALICE.email)))[1] == "cert-untrusted-ca"

    asyncio.run(story())


def test_slow_directory_holds_within_the_hook_s_time_and_answers_the_next() -> None:
    """The first login is held as gateway-slow; the call goes on by itself, and its answer serves the next login."""

    async def story() -> None:
        async with yard() as place:
            place.directory_of_users.delay = 1.6
            monitor = await place.monitor()
            certificate = place.authority.certificate(ALICE.email)
            assert (await monitor.hook(certificate)).text("line") == "restrict,pty alice@x.io"
            (login,) = place.table
            assert login.admission.reason.code == "gateway-slow"
            await eventually(lambda: place.principals._lookups._kept)
            assert (await monitor.hook(certificate)).text("line") != "restrict,pty alice@x.io"
            assert len(place.directory_of_users.asked) == 1

    asyncio.run(story())


def test_identical_lookups_in_flight_are_one_request() -> None:
    """Ten logins of one user at once ask the directory once."""

    async def story() -> None:
        async with yard() as place:
            place.directory_of_users.delay = 0.3
            certificate = place.authority.certificate(ALICE.email)
            monitors = [await place.monitor() for _ in range(10)]
            replies = await asyncio.gather(*(monitor.hook(certificate) for monitor in monitors))
            assert {reply.text("outcome") for reply in replies} == {"line"}
            assert len(place.directory_of_users.asked) == 1

    asyncio.run(story())


def test_a_known_user_is_asked_for_again_before_time_is_over() -> None:
    """Half of the time that an answer is kept: nobody waits for the new one, and a user who has gone is out."""

    async def story() -> None:
        async with yard() as place:
            directory, lookups = place.directory_of_users, place.principals._lookups
            now = time.time()
            lookups._clock = lambda: now
            certificate = place.authority.certificate(ALICE.email)
            monitor = await place.monitor()
            allowed = (await monitor.hook(certificate)).text("line")
            now += place.config.gateway.cache * 0.6
            directory.gate.clear()
            assert (await monitor.hook(certificate)).text("line") == allowed
            await eventually(lambda: len(directory.asked) == 2)
            directory.users.clear()
            directory.gate.set()
            await eventually(lambda: not lookups._kept)
            assert (await monitor.hook(certificate)).text("line") == "restrict,pty alice@x.io"

    asyncio.run(story())


def test_unknown_user_is_asked_for_again() -> None:
    """Only answers that found somebody are kept."""

    async def story() -> None:
        async with yard() as place:
            place.directory_of_users.users.clear()
            monitor = await place.monitor()
            certificate = place.authority.certificate(ALICE.email)
            assert (await monitor.hook(certificate)).text("line") == "restrict,pty alice@x.io"
            place.directory_of_users.users[ALICE.email] = ALICE
            assert (await monitor.hook(certificate)).text("line") != "restrict,pty alice@x.io"

    asyncio.run(story())


def test_admission_that_cannot_be_recorded_is_none() -> None:
    """When no sink takes the event, the certificate is denied and the login forgotten."""

    async def story() -> None:
        async with yard() as place:
            monitor = await place.monitor()
            place.sink.broken = True
            assert outcome(await monitor.hook(place.authority.certificate(ALICE.email))) == ("deny", "internal")
            assert len(place.table) == 0

    asyncio.run(story())


def test_answer_that_comes_too_late_admits_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The server has gone on without its hook; the certificate it went on to is not replaced by this one."""

    async def story() -> None:
        async with yard() as place:
            bob = User("auth0|bob", "bob@x.io", "active")
            place.directory_of_users.users[bob.email] = bob
            monitor = await place.monitor()
            await monitor.hook(place.authority.certificate(bob.email))
            place.directory_of_users.gate.clear()
            late = base64.b64encode(place.authority.certificate(ALICE.email)).decode()
            pairs = [("verb", "principals"), ("account", place.uids.name), ("certificate", late)]
            hook = await monitor.tell("abandon", uid=place.uids.hook, data=wire.encode(pairs).hex())
            await eventually(lambda: place.directory_of_users.asked[-1].value == ALICE.email)
            os.kill(hook["pid"], signal.SIGKILL)
            second = place.authority.certificate(bob.email)
            await monitor.hook(second)
            place.directory_of_users.gate.set()
            await eventually(lambda: "came too late" in caplog.text)
            (login,) = place.table
            assert login.admitted_with(second)
            assert Kind.ADMITTED in place.sink.kinds()
            assert [event.fields["user"] for event in place.sink.events] == [bob.email, bob.email]

    asyncio.run(story())


def test_account_of_nobody_is_denied() -> None:
    """An account without an entry in the account database cannot have processes of its own to watch for."""

    async def story() -> None:
        async with yard() as place:
            monitor = await place.monitor()
            reply = await monitor.hook(place.authority.certificate(ALICE.email), account="no-such-account")
            assert outcome(reply) == ("deny", "account-not-allowed")

    asyncio.run(story())


@pytest.mark.skipif(not ROOT, reason="needs root and the private view")
def test_account_of_uid_0_is_denied() -> None:
    """Whatever its name: root's logins are not for us to decide."""

    async def story() -> None:
        async with yard() as place:
            monitor = await place.monitor()
            reply = await monitor.hook(place.authority.certificate(ALICE.email), account="root")
            assert outcome(reply) == ("deny", "account-not-allowed")
            assert len(place.table) == 0

    asyncio.run(story())


@pytest.mark.skipif(not ROOT, reason="needs root and the private view")
def test_only_the_hook_s_uid_may_ask() -> None:
    """The account's own processes, strangers and even root cannot admit a certificate."""

    async def story() -> None:
        async with yard() as place:
            monitor = await place.monitor()
            certificate = place.authority.certificate(ALICE.email)
            for uid in (place.uids.account, place.uids.stranger, 0):
                assert outcome(await monitor.hook(certificate, uid=uid)) == ("deny", "peer-not-allowed")
            assert len(place.table) == 0

    asyncio.run(story())


def test_hook_whose_monitor_has_ended_admits_nothing() -> None:
    """Its parent is then the first process, root's too; taken for a login it would be ended, with all below it."""

    async def story() -> None:
        async with yard() as place:
            monitor = await place.monitor()
            text = base64.b64encode(place.authority.certificate(ALICE.email)).decode()
            pairs = [("verb", "principals"), ("account", place.uids.name), ("certificate", text)]
            answer = await monitor.tell("orphan", uid=place.uids.hook, data=wire.encode(pairs).hex())
            assert outcome(read_reply(answer["reply"])) == ("deny", "peer-not-allowed")
            assert len(place.table) == 0

    asyncio.run(story())
