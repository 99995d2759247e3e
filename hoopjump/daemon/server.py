"""The daemon's door: one Unix socket, one question a connection, answered by the handler of its verb.

The socket is open to every local process, so nothing of a request counts before the kernel has said who asks
(SO_PEERCRED). A broken, slow or greedy peer costs one connection and one log line; whatever goes wrong, it reads a
reason and a reference and never a traceback.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hoopjump.audit.events import new_reference
from hoopjump.daemon import processes, texts, wire
from hoopjump.daemon.door import Door, Pace
from hoopjump.daemon.processes import Handle, Process, ProcessGoneError
from hoopjump.daemon.wire import Message, Pair, WireError
from hoopjump.decision.reasons import Reason

FIRST_FRAME_SECONDS: Final = 2.0
REFUSED_SECONDS: Final = 0.5
DRAIN_SECONDS: Final = 1.5

# Of one crowd's faults, so many lines at once and a second: a log that is full, or limits us, says nothing of others.
COMPLAINTS_AT_ONCE: Final = 100.0
COMPLAINTS_PER_SECOND: Final = 2.0
NOBODY: Final = -1

ADMINISTRATION: Final = frozenset({"logins", "end", "explain", "keys"})

log = logging.getLogger(__name__)


class Call:
    """One question of one peer: who asks, what, and the way to answer.

    ``peer`` is held for as long as the call lasts, so its pid cannot become somebody else's; ``uid`` is the kernel's
    word. ``verb`` is empty until the first message has been read.
    """

    def __init__(self, handle: Handle, uid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer: Process = handle.process
        self.uid = uid
        self.verb = ""
        self.message = Message(wire.VERSION, ())
        self.answered = asyncio.Event()
        self.on_answered: Callable[[], None] | None = None
        self._handle = handle
        self._reader = reader
        self._writer = writer

    @property
    def peer_ended(self) -> bool:
        """Whether the asking process has ended."""
        return self._handle.ended()

    async def reply(self, pairs: Iterable[Pair]) -> None:
        """Send a message; raises :class:`ConnectionError` when the peer has gone.

        From its first answer on, a call no longer counts against its uid's limit, nor does a stopping daemon wait
        for it: what is still open then belongs to a running session.
        """
        self._writer.write(wire.encode(pairs))
        self._settle()
        await self._writer.drain()

    async def refuse(self, reason: Reason, ref: str, sentence: str | None = None) -> None:
        """Say no, in the shape that the verb's asker understands."""
        text = reason.sentence() if sentence is None else sentence
        # Only a session's hook shows the text as it is; it may be refused before it has said its verb.
        lines = texts.refusal(reason, text, ref) if self.verb in ("", "session") else [text]
        said: list[Pair] = [("reason", reason.code), ("ref", ref), *(("text", line) for line in lines)]
        if self.verb == "principals":
            await self.reply([("outcome", "deny"), *said])
        else:
            await self.reply([("outcome", "refuse"), ("exit", str(reason.value.exit_status)), *said])

    async def read(self, seconds: float | None = None) -> Message | None:
        """The peer's next message, None when it has closed; raises :class:`WireError` and :class:`TimeoutError`."""
        async with asyncio.timeout(seconds):
            return await wire.read_message(self._reader)

    def close(self) -> None:
        """End the connection and let go of the peer."""
        self._settle()
        self._handle.close()
        self._writer.close()

    def _settle(self) -> None:
        self.answered.set()
        if self.on_answered is not None:
            self.on_answered()
            self.on_answered = None


Handler = Callable[[Call], Awaitable[None]]
UserOf = Callable[[Process, int], str | None]


@dataclass(frozen=True, slots=True)
class Peers:
    """Which uid may say which verb. Sessions are open to all: which login they belong to is the session's matter."""

    hook_uid: int
    own_uid: int

    def may(self, uid: int, verb: str) -> bool:
        """Whether a uid may say a verb."""
        if verb == "principals":
            return uid == self.hook_uid
        if verb in ADMINISTRATION:
            return uid in (0, self.own_uid)
        return True

    def unlimited(self, uid: int) -> bool:
        """Whether a uid's calls are uncounted: sshd bounds the hook's (MaxStartups), and root needs no bound."""
        return uid in (0, self.hook_uid)


class Server:
    """Answers calls on a listening socket until it is stopped.

    ``user_of`` names the user whose session a process of a uid is, None for a stranger; ``crowd`` tells with whom a uid
    is counted (:meth:`LoginTable.crowd`). At most ``limit`` calls are open at a time for each user, and for each crowd
    of strangers: those who share an account do not share its limit.
    """

    def __init__(
        self, handlers: Mapping[str, Handler], peers: Peers, limit: int, user_of: UserOf, crowd: Callable[[int], int]
    ) -> None:
        self._handlers = {**handlers, "ping": _ping}
        self._peers = peers
        self._limit = limit
        self._user_of = user_of
        self._crowd_of = crowd
        self._open: Counter[int | str] = Counter()
        self._turned_away: Counter[int | str] = Counter()
        self._tasks: dict[asyncio.Task[None], Call] = {}
        self._complaints = Pace(COMPLAINTS_PER_SECOND, COMPLAINTS_AT_ONCE)
        self._door: Door | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accept connections from now on."""
        self._door = Door(listener, self._connected, self._peers.unlimited, self._crowd)
        self._door.open()

    async def stop(self, seconds: float = DRAIN_SECONDS) -> None:
        """Accept no more, let unanswered calls be answered for at most ``seconds``, then end the rest.

        Who has not said anything yet is not waited for: a hook whose connection ends without an answer asks again, and
        the next daemon cannot start before this one has gone.
        """
        if self._door is not None:
            self._door.close()
            self._door = None
        waiting = [asyncio.ensure_future(call.answered.wait()) for call in self._tasks.values() if call.verb]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=seconds)
            for future in late:
                future.cancel()
            if late:
                log.warning("stopped with %d calls unanswered", len(late))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        try:
            handle, uid = processes.peer(connection)
        except (ProcessGoneError, OSError) as error:
            if self._complaints.take(NOBODY):
                log.info("a peer was gone before it could be known: %s", type(error).__name__)
            writer.close()
            return
        call = Call(handle, uid, reader, writer)
        task = asyncio.get_running_loop().create_task(self._serve(call))
        self._tasks[task] = call
        task.add_done_callback(self._tasks.pop)

    async def _serve(self, call: Call) -> None:
        if not self._peers.unlimited(call.uid):
            whose = self._user_of(call.peer, call.uid) or self._crowd(call.uid)
            if self._open[whose] >= self._limit:
                await self._turn_away(call, whose)
                return
            self._open[whose] += 1
            call.on_answered = lambda: _less(self._open, whose)
        try:
            await self._answer(call)
        finally:
            call.close()

    async def _answer(self, call: Call) -> None:
        who = f"uid {call.uid}, pid {call.peer.pid}"
        try:
            message = await call.read(FIRST_FRAME_SECONDS)
            if message is None:
                return
            call.message = message
            call.verb = message.text("verb") or ""
            handler = self._handlers.get(call.verb)
            if handler is None:
                await self._refuse(call, Reason.PROTOCOL, f"{who} said a verb that there is not")
            elif not self._peers.may(call.uid, call.verb):
                await self._refuse(call, Reason.PEER_NOT_ALLOWED, f"{who} may not say {call.verb}")
            else:
                await handler(call)
        except TimeoutError:
            if self._complaints.take(self._crowd(call.uid)):
                log.warning("a call was dropped: %s said nothing whole in time", who)
        except WireError as error:
            await self._refuse(call, Reason.PROTOCOL, f"{who} sent no message: {error}")
        except (ConnectionError, ProcessGoneError):
            if self._complaints.take(self._crowd(call.uid)):
                log.info("a call ended early: %s went away", who)
        except asyncio.CancelledError:
            raise
        except Exception:
            ref = new_reference()
            log.exception("internal error (ref %s) in %s for %s", ref, call.verb or "a call", who)
            await self._refuse(call, Reason.INTERNAL, f"{who} was told of an internal error", ref)

    def _crowd(self, uid: int) -> int:
        known = self._peers.unlimited(uid) or uid == self._peers.own_uid
        return uid if known else self._crowd_of(uid)

    async def _refuse(self, call: Call, reason: Reason, why: str, ref: str | None = None) -> None:
        ref = ref or new_reference()
        if self._complaints.take(self._crowd(call.uid)):
            log.warning("refused (%s, ref %s): %s", reason.code, ref, why)
        try:
            async with asyncio.timeout(REFUSED_SECONDS):
                await call.refuse(reason, ref)
        except (ConnectionError, TimeoutError):
            pass

    async def _turn_away(self, call: Call, whose: int | str) -> None:
        """Answer a call over the limit at once; what it has to say is read, for else it might miss the answer."""
        crowded = self._turned_away[whose] >= self._limit
        self._turned_away[whose] += 1
        try:
            if not crowded:
                await self._refuse(call, Reason.BUSY, f"{whose!a} (uid {call.uid}) has {self._limit} calls open")
                await call.read(REFUSED_SECONDS)
        except (WireError, TimeoutError, ConnectionError):
            pass
        finally:
            _less(self._turned_away, whose)
            call.close()


def _less(counter: Counter[int | str], whose: int | str) -> None:
    counter[whose] -= 1
    if not counter[whose]:
        del counter[whose]


async def _ping(call: Call) -> None:
    await call.reply([("outcome", "ok"), ("json", json.dumps({"pid": os.getpid()}))])
