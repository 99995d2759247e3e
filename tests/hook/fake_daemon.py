"""A daemon that says what a test tells it to, with a codec of its own, so that a fault in the hook's is seen."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Pairs = list[tuple[str, bytes]]


def netstrings(pairs: Sequence[tuple[str, bytes | str]]) -> bytes:
    """The body of a frame."""
    out = b""
    for key, value in pairs:
        for part in (key.encode(), value.encode() if isinstance(value, str) else value):
            out += str(len(part)).encode() + b":" + part + b","
    return out


def frame(*pairs: tuple[str, bytes | str], version: str = "1") -> bytes:
    """A whole frame, version first."""
    body = netstrings([("v", version), *pairs])
    return len(body).to_bytes(4, "big") + body


def read_frame(link: socket.socket) -> Pairs | None:
    """The pairs of the next frame; None when the other side has nothing more to say."""
    with link.makefile("rb") as file:
        head = file.read(4)
        if len(head) < 4:
            return None
        body = file.read(int.from_bytes(head, "big"))
    parts = []
    while body:
        length, _, rest = body.partition(b":")
        parts.append(rest[: int(length)])
        assert rest[int(length) : int(length) + 1] == b","
        body = rest[int(length) + 1 :]
    return [(key.decode(), value) for key, value in zip(parts[::2], parts[1::2], strict=True)]


Step = Callable[["FakeDaemon", socket.socket], None]


@dataclass
class FakeDaemon:
    """Serves one step for each connection, in order; ``questions`` are the frames that came."""

    path: Path
    steps: list[Step]
    questions: list[Pairs] = field(default_factory=list)
    connections: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    faults: list[BaseException] = field(default_factory=list)

    def ask(self, link: socket.socket) -> Pairs:
        """The next question on a connection."""
        pairs = read_frame(link)
        assert pairs is not None
        self.questions.append(pairs)
        return pairs

    def serve(self, listener: socket.socket) -> None:
        """Serve the steps; what goes wrong here is raised again when the test ends."""
        try:
            for step in self.steps:
                link, _ = listener.accept()
                self.connections += 1
                with link, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    step(self, link)
        except OSError:
            pass  # the test has closed the listener: nobody asked further
        except BaseException as fault:
            self.faults.append(fault)


def answer(*pairs: tuple[str, bytes | str], version: str = "1") -> Step:
    """Read a question, answer it."""
    return send(frame(*pairs, version=version))


def send(data: bytes) -> Step:
    """Read a question, send these bytes."""

    def step(daemon: FakeDaemon, link: socket.socket) -> None:
        daemon.ask(link)
        link.sendall(data)

    return step


def drop(daemon: FakeDaemon, link: socket.socket) -> None:
    """Read a question and end the connection."""
    daemon.ask(link)


def silent(daemon: FakeDaemon, link: socket.socket) -> None:
    """Read a question and say nothing until the test ends or lets go."""
    daemon.ask(link)
    daemon.released.wait(60)


def run(*pairs: tuple[str, bytes | str], reply: Sequence[tuple[str, bytes | str]] | None = None) -> Step:
    """Answer with a program to run, then take its status; ``reply`` is the answer to that, else the status itself."""

    def step(daemon: FakeDaemon, link: socket.socket) -> None:
        daemon.ask(link)
        link.sendall(frame(("outcome", "run"), *pairs))
        told = read_frame(link)
        if told is None:
            return
        daemon.questions.append(told)
        link.sendall(frame(*(reply or [("outcome", "exit"), ("exit", dict(told)["exit"])])))

    return step


@contextlib.contextmanager
def serving(path: Path, *steps: Step) -> Iterator[FakeDaemon]:
    """A daemon on a socket, for the time of the block."""
    daemon = FakeDaemon(path, list(steps))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    thread = threading.Thread(target=daemon.serve, args=(listener,))
    thread.start()
    try:
        yield daemon
    finally:
        daemon.released.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)
        assert not daemon.faults, daemon.faults
