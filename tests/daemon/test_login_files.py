"""The files of the login table, when the file system takes no more."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hoopjump.daemon import processes
from hoopjump.daemon.logins import Admission, LoginTable
from hoopjump.decision.reasons import Reason
from hoopjump.decision.values import Access
from tests.daemon.yard import ALICE, outcome, yard

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
