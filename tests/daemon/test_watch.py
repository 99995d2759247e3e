"""Logins that open, end and run out, with processes that stand for sshd's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess

import pytest

from hoopjump.audit.events import Kind
from hoopjump.daemon import processes
from hoopjump.daemon.login import State
from hoopjump.daemon.processes import Process
from tests.daemon.yard import ALICE, ROOT, eventually, outcome, yard


def test_login_opens_when_the_monitor_runs_something_as_the_account() -> None:
    """Nobody has to call: a login that only forwards is seen by its process."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.admitted()
            await monitor.login()
            await eventually(lambda: login.state is State.OPEN)
            assert place.sink.kinds() == [Kind.ADMITTED, Kind.LOGIN_OPENED]
            assert place.sink.events[1].fields["user"] == ALICE.email

    asyncio.run(story())


def test_admitted_certificate_is_no_login() -> None:
    """While sshd has only its unauthenticated process, and when it ends so, no login is recorded."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.admitted()
            await place.looked()
            assert login.state is State.ADMITTED
            await monitor.quit()
            await eventually(lambda: login.state is State.CLOSED)
            assert place.sink.kinds() == [Kind.ADMITTED, Kind.FORGOTTEN]
            assert len(place.table) == 0
            assert list((place.directory / "logins").iterdir()) == []

    asyncio.run(story())


@pytest.mark.skipif(not ROOT, reason="needs root and the private view")
def test_process_of_another_uid_below_the_monitor_opens_nothing() -> None:
    """Helpers of sshd run as others; only the account's own uid is the login."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.admitted()
            await monitor.login(uid=place.uids.stranger)
            await place.looked()
            assert login.state is State.ADMITTED
            await monitor.login()
            await eventually(lambda: login.state is State.OPEN)

    asyncio.run(story())


def test_login_closes_when_the_monitor_ends() -> None:
    """The end of the connection is the end of its monitor, however it comes."""

    async def story() -> None:
        async with yard() as place:
            _, login = await place.opened()
            closed = []
            login.on_close(lambda: closed.append(1))
            os.kill(login.monitor.pid, signal.SIGKILL)
            await eventually(lambda: login.state is State.CLOSED)
            assert closed == [1]
            assert place.sink.kinds() == [Kind.ADMITTED, Kind.LOGIN_OPENED, Kind.LOGIN_CLOSED]
            assert place.table.get(login.ref) is None

    asyncio.run(story())


def test_admission_lapses_after_the_grace_time() -> None:
    """A monitor that lingers without a login is no longer looked at, and is nobody's."""

    async def story() -> None:
        async with yard(login_grace="0.2") as place:
            monitor, _ = await place.admitted()
            await eventually(lambda: place.sink.kinds() == [Kind.ADMITTED, Kind.FORGOTTEN])
            await monitor.login()
            assert (await monitor.session()).text("json") == ""
            assert place.sink.kinds() == [Kind.ADMITTED, Kind.FORGOTTEN]

    asyncio.run(story())


@pytest.mark.skipif(not ROOT, reason="needs root and the private view")
def test_question_after_an_opening_awaits_the_login_again() -> None:
    """No question comes once authentication is over, so who is in is decided by the last admission."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.opened()
            first = login.ref
            last = place.authority.certificate(ALICE.email)
            await monitor.hook(last)
            assert login.admitted_with(last)
            await monitor.login()
            await eventually(lambda: place.sink.kinds().count(Kind.LOGIN_OPENED) == 2)
            assert login.ref != first

    asyncio.run(story())


def test_login_is_cut_at_the_certificate_s_end() -> None:
    """The monitor gets SIGTERM at the second the certificate ends; the trail says that it was us, and why."""

    async def story() -> None:
        async with yard() as place:
            _, login = await place.opened(seconds=4)
            await eventually(lambda: login.state is State.CLOSED)
            assert place.sink.kinds()[-2:] == [Kind.LOGIN_CUT, Kind.LOGIN_CLOSED]
            assert place.sink.events[-2].fields["reason"] == "login-ended"

    asyncio.run(story())


def test_monitor_that_does_not_heed_is_killed_with_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deaf monitor is killed after its time, and sshd's process for the user, which forwards, with it."""
    monkeypatch.setattr("hoopjump.daemon.watch.CUT_SECONDS", 0.2)

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.admitted()
            await monitor.tell("deaf")
            child = await monitor.login()
            await eventually(lambda: login.state is State.OPEN)
            place.watch.cut(login, "ended by hand")
            assert not login.live
            await eventually(lambda: not processes.alive(monitor.process) and not processes.alive(child))

    asyncio.run(story())


def test_stopped_monitor_is_ended_too() -> None:
    """SIGSTOP does not outlast a deadline."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.opened()
            os.kill(monitor.process.pid, signal.SIGSTOP)
            place.watch.cut(login, "ended by hand")
            await eventually(lambda: login.state is State.CLOSED)

    asyncio.run(story())


def test_what_a_session_left_running_ends_with_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's process and its child get SIGTERM, also when they are stopped, and SIGKILL when deaf."""
    monkeypatch.setattr("hoopjump.daemon.watch.LEFTOVER_SECONDS", 0.2)

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.opened()
            left = [*await monitor.leave()]
            os.kill(left[1].pid, signal.SIGSTOP)
            place.table.add_session_process(login, left[0])
            await monitor.tell("deaf")
            left += await monitor.leave()  # these inherit deafness
            place.table.add_session_process(login, left[2])
            unregistered, _ = await monitor.leave()
            await monitor.quit()
            await eventually(lambda: not any(processes.alive(one) for one in left))
            assert processes.alive(unregistered)
            os.kill(unregistered.pid, signal.SIGKILL)

    asyncio.run(story())


def test_session_that_ended_in_good_order_is_left_alone() -> None:
    """A process taken off the list is not touched."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.opened()
            outer, inner = await monitor.leave()
            place.table.add_session_process(login, outer)
            place.table.remove_session_process(login, outer)
            await monitor.quit()
            await eventually(lambda: login.state is State.CLOSED)
            assert processes.alive(outer)
            for one in (outer, inner):
                os.kill(one.pid, signal.SIGKILL)

    asyncio.run(story())


def test_logins_survive_a_restart() -> None:
    """Admitted, open, their deadlines and what they started: the next daemon goes on where the last one stopped."""

    async def story() -> None:
        async with yard() as place:
            waiting, admitted = await place.admitted()
            monitor, opened = await place.opened()
            outer, _ = await monitor.leave()
            place.table.add_session_process(opened, outer)
            await place.restart()
            again = place.table.get(opened.ref)
            assert again is not None
            assert (again.admission, again.state, again.opened_at) == (opened.admission, State.OPEN, opened.opened_at)
            assert (await monitor.session()).text("json") == opened.ref
            await waiting.login()
            await eventually(lambda: place.sink.events[-1].ref == admitted.ref)
            assert place.sink.kinds()[-1] is Kind.LOGIN_OPENED
            await monitor.quit()
            await eventually(lambda: place.sink.kinds()[-1] is Kind.LOGIN_CLOSED)
            await eventually(lambda: not processes.alive(outer))

    asyncio.run(story())


def test_login_that_ended_during_a_restart_is_closed_with_what_it_left() -> None:
    """The trail gets its end, and the leftovers theirs."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.opened()
            outer, inner = await monitor.leave()
            place.table.add_session_process(login, outer)
            await place.stop()
            await monitor.quit()
            await place.restart()
            assert place.sink.kinds()[-1] is Kind.LOGIN_CLOSED
            assert len(place.table) == 0
            await eventually(lambda: not processes.alive(outer) and not processes.alive(inner))

    asyncio.run(story())


def test_table_of_another_boot_or_of_garbage_is_thrown_away() -> None:
    """A pid and a start time mean nothing after a reboot; a file that is no login is complained of."""

    async def story() -> None:
        async with yard() as place:
            _, login = await place.opened()
            (file,) = (place.directory / "logins").iterdir()
            await place.stop()
            row = json.loads(file.read_bytes())
            file.write_text(json.dumps({**row, "boot": "another"}))
            (file.parent / "1-1.json").write_text("{")
            (file.parent / "2-2.json").write_text(json.dumps({**row, "access": "everything"}))
            (file.parent / "3-3.new").write_text("half")
            complaints = place.table.__class__(file.parent).load()
            assert [complaint.split(":")[0] for complaint in complaints] == ["1-1.json", "2-2.json"]
            assert list(file.parent.iterdir()) == []
            assert login.state is State.OPEN
            await place.start()

    asyncio.run(story())


def test_login_files_are_the_daemon_s_alone() -> None:
    """Directory 0700, files 0600."""

    async def story() -> None:
        async with yard() as place:
            await place.opened()
            (file,) = (place.directory / "logins").iterdir()
            assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    asyncio.run(story())


def test_recycled_session_process_is_not_hit() -> None:
    """A remembered pid that is somebody else's by now gets no signal."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.opened()
            with subprocess.Popen(["sleep", "60"]) as bystander:  # noqa: ASYNC220
                found = processes.find(bystander.pid)
                assert found is not None
                login.session_processes.add(Process(found.pid, found.start - 1))
                await monitor.quit()
                await eventually(lambda: login.state is State.CLOSED)
                assert processes.alive(found)
                bystander.kill()

    asyncio.run(story())


@pytest.mark.skipif(ROOT, reason="rootless only")
def test_rootless_login_opens_when_the_unauthenticated_process_has_given_way() -> None:
    """All uids are one there: what counts is that another child has come and the first is gone."""

    async def story() -> None:
        async with yard() as place:
            monitor = await place.monitor()
            await monitor.preauth()
            assert outcome(await monitor.hook(place.authority.certificate(ALICE.email))) == ("line", None)
            (login,) = place.table
            await monitor.leave()
            await place.looked()
            assert login.state is State.ADMITTED
            await monitor.login()
            await eventually(lambda: login.state is State.OPEN)

    asyncio.run(story())
