"""The socket: who may say what, and what a broken, slow or greedy peer costs."""

from __future__ import annotations

import asyncio
import logging
import stat

import pytest

from hoopjump.audit.events import Kind
from hoopjump.daemon import wire
from hoopjump.daemon.server import Call, Peers
from hoopjump.daemon.wire import Message
from hoopjump.decision.values import User
from tests.daemon.yard import ALICE, ROOT, Yard, eventually, outcome, read_reply, yard


class Counted(Peers):
    """Peers of which none is unlimited."""

    def unlimited(self, uid: int) -> bool:
        return False


class Client:
    """One connection to the yard's socket, from this process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, place: Yard) -> Client:
        return cls(*await asyncio.open_unix_connection(str(place.socket)))

    def say(self, verb: str, *pairs: wire.Pair) -> None:
        self.writer.write(wire.encode([("verb", verb), *pairs]))

    async def read(self) -> Message | None:
        async with asyncio.timeout(10):
            try:
                return await wire.read_message(self.reader)
            except ConnectionError:
                return None

    def close(self) -> None:
        self.writer.close()


async def ask(place: Yard, verb: str, *pairs: wire.Pair) -> Message | None:
    client = await Client.connect(place)
    client.say(verb, *pairs)
    try:
        return await client.read()
    finally:
        client.close()


async def assert_serves(place: Yard) -> None:
    reply = await ask(place, "ping")
    assert reply is not None
    assert reply.text("outcome") == "ok"


def test_socket_is_open_to_all_in_a_directory_that_is_not() -> None:
    """Mode 0666: what counts is what the kernel says of a peer."""

    async def story() -> None:
        async with yard() as place:
            assert stat.S_IMODE(place.socket.stat().st_mode) == 0o666
            await assert_serves(place)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "protocol", id="http"),
        pytest.param(b"\xff" * 64, "protocol", id="noise"),
        pytest.param(b"\x00\x00\x00\x00", "protocol", id="empty frame"),
        pytest.param(b"\x00\x00\x00\x05hello", "protocol", id="no netstrings"),
        pytest.param(wire.encode([("verb", "become-root")]), "protocol", id="unknown verb"),
        pytest.param(wire.encode([("verb", "ping"), ("verb", "ping")]), "protocol", id="verb twice"),
        pytest.param(wire.encode([("verb", b"\xff")]), "protocol", id="verb of bytes"),
        pytest.param(wire.encode([("account", "hoop")]), "protocol", id="no verb"),
    ],
)
def test_garbage_costs_one_connection_and_one_line(data: bytes, answer: str, caplog: pytest.LogCaptureFixture) -> None:
    """The peer reads a reason and a reference that the log has too; nothing of what it sent is in the log."""

    async def story() -> None:
        async with yard() as place:
            client = await Client.connect(place)
            client.writer.write(data)
            reply = await client.read()
            assert reply is not None
            assert outcome(reply) == ("refuse", answer)
            assert await client.read() is None
            (record,) = caplog.records
            assert (reply.text("ref") or "?") in record.getMessage()
            assert "Traceback" not in caplog.text
            assert "become-root" not in caplog.text
            await assert_serves(place)

    with caplog.at_level(logging.INFO, "hoopjump.daemon.server"):
        asyncio.run(story())


def test_peer_that_says_nothing_whole_is_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A frame that does not arrive in time, however slowly it trickles, ends the connection; others are served."""
    monkeypatch.setattr("hoopjump.daemon.server.FIRST_FRAME_SECONDS", 1.0)

    async def story() -> None:
        async with yard() as place:
            silent, trickling = await Client.connect(place), await Client.connect(place)

            async def trickle() -> None:
                for byte in wire.encode([("verb", "ping"), ("padding", "x" * 1000)]):
                    trickling.writer.write(bytes([byte]))
                    await asyncio.sleep(0.02)

            task = asyncio.create_task(trickle())
            await assert_serves(place)
            assert await silent.read() is None
            assert await trickling.read() is None
            task.cancel()
            assert caplog.text.count("nothing whole in time") == 2
            await assert_serves(place)

    asyncio.run(story())


def test_peer_that_connects_and_leaves_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A connection without a word is no fault."""

    async def story() -> None:
        async with yard() as place:
            (await Client.connect(place)).close()
            await assert_serves(place)
            assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    asyncio.run(story())


def test_calls_over_the_limit_of_a_uid_are_told_busy() -> None:
    """A flood from one uid gets `busy` at once; when a call ends there is room again."""

    async def story() -> None:
        async with yard(calls_per_uid="3") as place:
            await place.server.stop()
            place.peers = Counted(place.peers.hook_uid, place.peers.own_uid)
            await place.restart()
            held = [await Client.connect(place) for _ in range(3)]
            await eventually(lambda: len(place.server._tasks) == 3)
            for _ in range(20):
                reply = await ask(place, "ping")
                assert reply is not None
                assert outcome(reply) == ("refuse", "busy")
                assert reply.text("exit") == "75"
            held.pop().close()
            await eventually(lambda: len(place.server._tasks) == 2)
            await assert_serves(place)
            for client in held:
                client.close()

    asyncio.run(story())


def test_users_of_a_shared_account_do_not_share_its_limit() -> None:
    """Alice's sessions, over however many connections, get `busy` one by one; bob's, of the same uid, are answered."""
    bob = User("auth0|bob", "bob@x.io", "active", ("dev",), "Bob")
    go = asyncio.Event()

    async def slow(call: Call) -> None:
        if call.message.text("stage") == "held":
            await go.wait()
        await call.reply([("outcome", "ok")])

    async def story() -> None:
        async with yard(calls_per_uid="3") as place:
            place.directory_of_users.users[bob.email] = bob
            place.peers = Counted(place.peers.hook_uid, place.peers.own_uid)
            place.handlers["session"] = slow
            await place.restart()
            hers, (his, _) = [(await place.admitted())[0] for _ in range(4)], await place.admitted(email=bob.email)
            held = [asyncio.create_task(monitor.session(("stage", "held"))) for monitor in hers[:3]]
            await eventually(lambda: len(place.server._tasks) == 3)
            assert outcome(await hers[3].session()) == ("refuse", "busy")
            assert outcome(await his.session()) == ("ok", None)
            # Whoever is below no login has a limit of their own.
            await assert_serves(place)
            go.set()
            assert [outcome(answer) for answer in await asyncio.gather(*held)] == [("ok", None)] * 3
            assert outcome(await hers[3].session()) == ("ok", None)

    asyncio.run(story())


def test_hook_is_not_counted() -> None:
    """MaxStartups bounds sshd's questions; nobody else's calls can crowd them out."""

    async def story() -> None:
        async with yard(calls_per_uid="1") as place:
            held = [await Client.connect(place) for _ in range(5)]
            monitor = await place.monitor()
            assert outcome(await monitor.hook(place.authority.certificate(ALICE.email))) == ("line", None)
            for client in held:
                client.close()

    asyncio.run(story())


def test_running_session_is_not_counted() -> None:
    """A call that was answered and stays, to tell its status later, leaves room for others."""

    async def follow(call: Call) -> None:
        await call.reply([("outcome", "run")])
        await call.read()

    async def story() -> None:
        async with yard(calls_per_uid="1") as place:
            place.peers = Counted(place.peers.hook_uid, place.peers.own_uid)
            place.handlers["follow"] = follow
            await place.restart()
            running = []
            for _ in range(3):
                client = await Client.connect(place)
                running.append(client)
                client.say("follow")
                reply = await client.read()
                assert reply is not None
                assert reply.text("outcome") == "run"
            for client in running:
                client.close()

    asyncio.run(story())


def test_fault_of_ours_is_a_reason_and_a_reference_never_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    """The peer reads `internal`; the trace is in the log, with the reference."""

    async def fail(_: Call) -> None:
        raise ZeroDivisionError("secret of the house")

    async def story() -> None:
        async with yard() as place:
            place.handlers["fail"] = fail
            await place.restart()
            client = await Client.connect(place)
            client.say("fail")
            async with asyncio.timeout(10):
                answer = await client.reader.read()
            assert b"secret" not in answer
            assert b"Traceback" not in answer
            reply = wire.decode(answer[4:])
            assert outcome(reply) == ("refuse", "internal")
            assert (reply.text("ref") or "?") in caplog.text
            assert "ZeroDivisionError" in caplog.text
            client.close()

    asyncio.run(story())


def test_stopping_daemon_answers_what_it_was_asked() -> None:
    """Calls in hand are answered, new ones find nobody, and what lasts too long is ended."""
    begun = asyncio.Event()

    async def slow(call: Call) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        await call.reply([("outcome", "ok")])

    async def story() -> None:
        async with yard() as place:
            place.handlers["slow"] = slow
            await place.restart()
            client, silent = await Client.connect(place), await Client.connect(place)
            client.say("slow")
            await begun.wait()
            stopping = asyncio.create_task(place.server.stop(30.0))
            reply = await client.read()
            assert reply is not None
            assert reply.text("outcome") == "ok"
            with pytest.raises(OSError, match="refused"):
                await Client.connect(place)
            await stopping
            assert await silent.read() is None
            await place.restart()
            await assert_serves(place)

    asyncio.run(story())


@pytest.mark.skipif(not ROOT, reason="needs root and the private view")
def test_administration_is_root_s_and_the_daemon_s_own() -> None:
    """The hook's uid, an account's and a stranger's are refused `logins`, `end`, `explain` and `keys`."""

    async def served(call: Call) -> None:
        await call.reply([("outcome", "ok")])

    async def story() -> None:
        async with yard() as place:
            verbs = ("logins", "end", "explain", "keys")
            place.handlers.update(dict.fromkeys(verbs, served))
            await place.restart()
            monitor = await place.monitor()
            for verb in verbs:
                data = wire.encode([("verb", verb)]).hex()
                for uid in (place.uids.hook, place.uids.account, place.uids.stranger):
                    answer = await monitor.tell("hook", uid=uid, data=data)
                    assert outcome(read_reply(answer["reply"])) == ("refuse", "peer-not-allowed")
                answer = await monitor.tell("hook", uid=0, data=data)
                assert outcome(read_reply(answer["reply"])) == ("ok", None)
        assert Peers(hook_uid=101, own_uid=102).may(102, "end")

    asyncio.run(story())


def test_only_the_hook_s_uid_says_principals() -> None:
    """Root is not the hook either."""
    peers = Peers(hook_uid=101, own_uid=102)
    assert [uid for uid in (0, 101, 102, 103) if peers.may(uid, "principals")] == [101]
    assert peers.may(103, "session")
    assert peers.may(103, "ping")


def test_hook_that_is_no_child_of_root_s_is_refused() -> None:
    """The hook's uid alone does not do: its parent must be a process of root's (rootless there is no telling)."""

    async def story() -> None:
        async with yard() as place:
            monitor = await place.monitor()
            data = wire.encode([("verb", "principals"), ("account", "x"), ("certificate", "AAAA")]).hex()
            answer = await monitor.tell("session", uid=place.uids.hook, data=data)
            reply = read_reply(answer["reply"])
            if ROOT:
                assert outcome(reply) == ("deny", "peer-not-allowed")
                assert place.sink.kinds() == [Kind.CALL_REFUSED]
            else:
                assert outcome(reply) == ("deny", "cert-malformed")

    asyncio.run(story())
