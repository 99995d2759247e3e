"""The verb relay, which stands between ssh and a gateway that closes early."""

from __future__ import annotations

import shlex
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hook.conftest import MB, Hook

OUTPUT = b"".join(b"%07d\n" % number for number in range(MB // 8))


@contextmanager
def gateway(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server for one connection; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            link, _ = listener.accept()
            with link:
                serve(link)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield str(listener.getsockname()[1])
        finally:
            thread.join(30)


@pytest.fixture
def hook(directory: Path) -> Hook:
    """The hook, which no daemon serves here."""
    return Hook(directory)


def command(hook: Hook, port: str) -> list[str]:
    """What ssh runs as its ProxyCommand."""
    return [*hook.python, str(hook.file), "relay", "127.0.0.1", port]


def start(argv: list[str]) -> subprocess.Popen[bytes]:
    """A program with pipes all round."""
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_bytes_pass_both_ways(hook: Hook) -> None:
    """What one side says, the other reads, whatever it is; the gateway's end is ssh's end of file."""
    data = bytes(range(256)) * 4096

    def echo(link: socket.socket) -> None:
        received = b""
        while len(received) < len(data):
            received += link.recv(65536)
        link.sendall(received)

    with gateway(echo) as port, start(command(hook, port)) as ssh:
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        ssh.stdin.write(data)
        ssh.stdin.flush()
        assert ssh.stdout.read() == data
        ssh.stdin.close()
        assert ssh.wait(20) == 0


def test_all_is_read_though_the_gateway_takes_nothing_more(hook: Hook) -> None:
    """The gateway sends, and closes; ssh, which is slow, goes on writing. It loses none of what had been sent."""
    closed = threading.Event()

    def hurry(link: socket.socket) -> None:
        link.sendall(OUTPUT)
        link.shutdown(socket.SHUT_WR)
        closed.set()

    with gateway(hurry) as port, start(command(hook, port)) as ssh:
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        assert closed.wait(20)
        received = b""
        while data := ssh.stdout.read(1000):
            received += data
            ssh.stdin.write(b"there is room for more")
            ssh.stdin.flush()
        assert received == OUTPUT
        # The last word of an ssh that has read the end.
        ssh.stdin.write(b"disconnected by user")
        ssh.stdin.close()
        assert ssh.wait(20) == 0


def test_a_connection_that_breaks_off_is_no_end_of_output(hook: Hook) -> None:
    """After a reset nobody knows what is missing, so ssh is ended, and does not take what it has for all there was."""

    def reset(link: socket.socket) -> None:
        link.sendall(b"some of the output")
        link.recv(5)
        # socket(7): closing with no time to linger resets the connection.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with gateway(reset) as port:
        ssh = start(["sh", "-c", f"{shlex.join(command(hook, port))}; echo closed"])
        with ssh:
            assert ssh.stdin is not None
            assert ssh.stdout is not None
            assert ssh.stdout.read(18) == b"some of the output"
            ssh.stdin.write(b"hello")
            ssh.stdin.flush()
            assert ssh.wait(20) == -15
            ssh.stdin.close()
            assert ssh.stdout.read() == b""


def test_the_relay_ends_with_ssh(hook: Hook) -> None:
    """When ssh goes, the gateway's connection is closed."""
    ended = threading.Event()

    def wait(link: socket.socket) -> None:
        link.sendall(b"hello")
        if link.recv(1) == b"":
            ended.set()

    with gateway(wait) as port, start(command(hook, port)) as ssh:
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        assert ssh.stdout.read(5) == b"hello"
        ssh.stdin.close()
        assert ssh.wait(20) == 0
        assert ended.wait(20)


def test_a_gateway_that_is_not_there_is_named(hook: Hook) -> None:
    """Nobody listens: one sentence with the address, and no trace."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    done = subprocess.run(command(hook, port), stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20)
    assert done.returncode == 69
    assert done.stderr == f"hoopjump: 127.0.0.1 port {port}: Connection refused\n".encode()
