"""The files of the login table, when the file system takes no more."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hoopjump.audit.events import Kind
from hoopjump.daemon import processes
from hoopjump.daemon.endings import Endings
from hoopjump.daemon.login import Admission, State
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.processes import Process, ProcessGoneError
from hoopjump.decision.reasons import Reason
from hoopjump.decision.token_mark import TokenMark
from hoopjump.decision.values import Access, Token
from tests.daemon.yard import ALICE, eventually, outcome, yard

ADMISSION = Admission("hoop", 1000, b"certificate", Access.ALLOW, Reason.ALLOWED, "", 4102444800, ALICE, ALICE.email)


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Every file of this process ends at so many bytes: write(2) takes a part, as on a full file system."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_login_that_cannot_be_written_whole_is_an_error(tmp_path: Path) -> None:
    """It is not in the table, what was written is gone, and the file of an earlier admission is whole."""
    table = LoginTable(tmp_path)
    own = processes.find(os.getpid())
    assert own is not None
    with room_for(100), pytest.raises(OSError, match="File too large"):
        table.admit(own, ADMISSION, 1.0, frozenset())
    assert len(table) == 0
    assert list(tmp_path.iterdir()) == []
    table.admit(own, ADMISSION, 1.0, frozenset())
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    with room_for(100), pytest.raises(OSError, match="File too large"):
        table.admit(own, replace(ADMISSION, account="other"), 2.0, frozenset())
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == before


def test_certificate_whose_login_cannot_be_kept_is_denied(caplog: pytest.LogCaptureFixture) -> None:
    """Fail closed: a daemon that starts again would not know the login, so it does not begin; the log says why."""

    async def story() -> None:
        async with yard() as place:
            monitor = await place.monitor()
            certificate = place.authority.certificate(ALICE.email)
            with room_for(100):
                assert outcome(await monitor.hook(certificate)) == ("deny", "internal")
            assert len(place.table) == 0
            assert "File too large" in caplog.text
            assert outcome(await monitor.hook(certificate)) == ("line", None)

    asyncio.run(story())


def test_login_is_opened_and_cut_though_its_file_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    """The attack: whoever has filled the file system goes on beyond the certificate's end. The trail has both."""

    async def story() -> None:
        async with yard() as place:
            monitor, login = await place.admitted(seconds=2)
            with room_for(100):
                await monitor.login()
                await eventually(lambda: login.state is State.CLOSED)
            assert place.sink.kinds() == [Kind.ADMITTED, Kind.LOGIN_OPENED, Kind.LOGIN_CUT, Kind.LOGIN_CLOSED]
            assert not processes.alive(login.monitor)
            assert f"the file of login {login.ref} cannot be written: File too large" in caplog.text

    asyncio.run(story())


def test_earlier_end_that_cannot_be_kept_lets_no_session_in() -> None:
    """A daemon that starts again would not know it, so each session that brings it is refused, not only the first."""

    async def story() -> None:
        async with yard() as place:
            _, login = await place.opened()
            before = login.admission.deadline
            assert before is not None
            mark = TokenMark("https://idp.example.com", "jti-1", "thumbprint", "kid", "https://first.example.com", "j")
            token = Token(mark.issuer, "s", "alice", "subject", (), before - 100, "jti-1", mark)
            with room_for(100):
                for _ in range(2):
                    with pytest.raises(OSError, match="File too large"):
                        place.watch.bind(login, token)
            assert (login.admission.deadline, login.admission.tokens) == (before, ())
            place.watch.bind(login, token)
            await place.restart()
            assert [(one.admission.deadline, one.admission.tokens) for one in place.table] == [(before - 100, (mark,))]

    asyncio.run(story())


def test_ending_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon without a free descriptor cannot hold on to what it kills; it must not forget that."""
    monkeypatch.setattr("hoopjump.daemon.watch.LOOK_SECONDS", 0.1)
    failures = [OSError(24, "Too many open files")] * 2
    end = Endings.end

    def fail(self: Endings, *given: Any) -> None:
        if failures:
            raise failures.pop()
        end(self, *given)

    monkeypatch.setattr(Endings, "end", fail)

    async def story() -> None:
        async with yard() as place:
            _, login = await place.admitted(seconds=2)
            await eventually(lambda: login.state is State.CLOSED)
            assert not failures
            assert place.sink.kinds() == [Kind.ADMITTED, Kind.LOGIN_CUT, Kind.FORGOTTEN]

    asyncio.run(story())


def test_login_that_cannot_be_watched_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would end it in time, nor its forwards. Without an answer sshd's hook asks once more, and then denies."""

    class Gone:
        @staticmethod
        def open(process: Process) -> None:
            raise ProcessGoneError(process.pid)

    async def story() -> None:
        async with yard() as place:
            monitor = await place.monitor()
            certificate = place.authority.certificate(ALICE.email)
            with monkeypatch.context() as patch:
                patch.setattr("hoopjump.daemon.watch.Handle", Gone)
                with pytest.raises(AssertionError, match="without an answer"):
                    await monitor.hook(certificate)
            assert len(place.table) == 0
            assert outcome(await monitor.hook(certificate)) == ("line", None)

    asyncio.run(story())
