"""Who knocks too often: turned away at once, alone, and without filling anything."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from hoopjump.daemon import systemd, wire
from hoopjump.daemon.door import Door, Pace
from tests.daemon.test_server import Client, Counted, ask, assert_serves
from tests.daemon.yard import ALICE, ROOT, Yard, eventually, outcome, yard


def test_pace_gives_a_burst_and_then_so_many_a_second() -> None:
    """Each key has a bucket of its own, that is never fuller than the burst."""
    now = 100.0
    pace = Pace(rate=2, burst=3, clock=lambda: now)
    assert [pace.take(1) for _ in range(5)] == [True, True, True, False, False]
    assert pace.take(2)
    now += 0.6
    assert [pace.take(1) for _ in range(2)] == [True, False]
    now += 1000
    assert [pace.take(1) for _ in range(4)] == [True, True, True, False]


def test_uid_that_knocks_too_often_is_dropped_and_the_hook_is_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is too much gets no answer and one line in the log; the hook is let in as before."""
    if not ROOT:
        pytest.skip("needs uids of its own")
    monkeypatch.setattr("hoopjump.daemon.door.KNOCKS_AT_ONCE", 5.0)
    monkeypatch.setattr("hoopjump.daemon.door.KNOCKS_PER_SECOND", 0.001)

    async def story() -> None:
        async with yard() as place:
            await place.server.stop()
            place.peers = Counted(place.peers.hook_uid, place.peers.own_uid)
            monkeypatch.setattr(Counted, "unlimited", lambda _, uid: uid == place.peers.hook_uid)
            await place.restart()
            for _ in range(5):
                await assert_serves(place)
            for _ in range(20):
                client = await Client.connect(place)
                assert await client.read() is None
                client.close()
            assert caplog.text.count("connects too often") == 1
            monitor = await place.monitor()
            for _ in range(8):
                assert outcome(await monitor.hook(place.authority.certificate(ALICE.email))) == ("line", None)

    asyncio.run(story())


def test_faults_of_one_uid_do_not_fill_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever sends garbage is answered each time, and complained of so many times."""
    monkeypatch.setattr("hoopjump.daemon.server.COMPLAINTS_AT_ONCE", 3.0)
    monkeypatch.setattr("hoopjump.daemon.server.COMPLAINTS_PER_SECOND", 0.001)

    async def story() -> None:
        async with yard() as place:
            for _ in range(10):
                reply = await ask(place, "become-root")
                assert reply is not None
                assert outcome(reply) == ("refuse", "protocol")
            assert caplog.text.count("a verb that there is not") == 3

    with caplog.at_level(logging.INFO, "hoopjump.daemon"):
        asyncio.run(story())


async def connect_as(uid: int, place: Yard) -> Client:
    """A connection of another uid's: whoever has many (subuid(5)) needs but one process."""
    link = socket.socket(socket.AF_UNIX)
    os.seteuid(uid)
    try:
        link.connect(str(place.socket))
    finally:
        os.seteuid(0)
    return Client(*await asyncio.open_unix_connection(sock=link))


@pytest.mark.skipif(not ROOT, reason="needs uids of its own")
def test_strangers_of_many_uids_are_one_crowd(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The attack: a user goes through thousands of uids. The limits of calls, knocks and log lines are for all."""
    monkeypatch.setattr("hoopjump.daemon.door.KNOCKS_AT_ONCE", 20.0)
    monkeypatch.setattr("hoopjump.daemon.door.KNOCKS_PER_SECOND", 0.001)
    monkeypatch.setattr("hoopjump.daemon.server.COMPLAINTS_AT_ONCE", 4.0)
    monkeypatch.setattr("hoopjump.daemon.server.COMPLAINTS_PER_SECOND", 0.001)

    async def story() -> None:
        async with yard(calls_per_uid="3") as place:
            monitor, _ = await place.opened()
            clients = [await connect_as(uid, place) for uid in range(100000, 100040)]
            replies = [await client.read() for client in clients[3:]]
            assert {None if reply is None else outcome(reply)[1] for reply in replies} == {"busy", None}
            assert sum(reply is None for reply in replies) >= 20
            assert caplog.text.count("connects too often") == 1
            assert caplog.text.count("refused (busy") <= 4
            assert outcome(await monitor.session()) == ("ok", None)
            await assert_serves(place)
            for client in clients:
                client.close()

    asyncio.run(story())


class Exhausted(socket.socket):
    """A listening socket that is out of descriptors the first time."""

    asked = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.asked += 1
        if self.asked == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_daemon_without_descriptors_rests_and_accepts_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is lost: the connection waits in the backlog until there is room."""
    monkeypatch.setattr("hoopjump.daemon.door.REST_SECONDS", 0.05)
    came: list[asyncio.StreamWriter] = []

    async def story() -> None:
        listener = Exhausted(fileno=systemd.bind(tmp_path / "d").detach())
        door = Door(listener, lambda _, writer: came.append(writer), lambda uid: True, lambda uid: uid)
        door.open()
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "d"))
        writer.write(wire.encode([("verb", "ping")]))
        await eventually(lambda: came)
        assert "no connection can be accepted: Too many open files" in caplog.text
        for one in (*came, writer):
            one.close()
        door.close()

    asyncio.run(story())
