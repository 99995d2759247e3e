"""The verb relay, which stands between ssh and a gateway that closes early."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hoopjump.dev.services import wait_for
from tests.hook.conftest import MB, Hook

OUTPUT = b"".join(b"%07d\n" % number for number in range(MB // 8))


@contextlib.contextmanager
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


def test_an_address_that_does_not_answer_leaves_time_for_the_next(directory: Path) -> None:
    """A name may lead to an address from which nothing comes back, not even a no; ssh's own time must not end there."""

    def two_addresses(source: str) -> str:
        changed = source.replace(
            "_socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM)",
            '[(2, 1, 6, "", (address, int(port))) for address in ("127.0.0.2", "127.0.0.1")]',
        ).replace("NEXT_ADDRESS = 4.0", "NEXT_ADDRESS = 0.2")
        assert changed.count("127.0.0.2") == changed.count("NEXT_ADDRESS = 0.2") == 1
        return changed

    with gateway(lambda link: link.sendall(b"answer")) as port, contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.2", int(port)), backlog=0))
        # Linux drops what comes to a full queue (listen(2)).
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        ssh = stack.enter_context(start(command(Hook(directory, two_addresses), port)))
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        assert ssh.stdout.read() == b"answer"
        ssh.stdin.close()
        assert ssh.wait(20) == 0


def test_all_is_read_though_the_gateway_takes_nothing_more(hook: Hook) -> None:
    """The gateway sends, and closes; ssh, which is slow, goes on writing. It loses none of what had been sent."""
    closed = threading.Event()

    def hurry(link: socket.socket) -> None:
        link.sendall(OUTPUT)
        link.shutdown(socket.SHUT_WR)
        # What has not left yet is lost to a server that is written to when it has closed; that is not the relay's loss.
        wait_for(lambda: not any(fcntl.ioctl(link, termios.TIOCOUTQ, bytes(4))), what="the output to arrive")
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
        assert len(received) == len(OUTPUT)
        assert received == OUTPUT
        # The last word of an ssh that has read the end.
        ssh.stdin.write(b"disconnected by user")
        ssh.stdin.close()
        assert ssh.wait(20) == 0


def reset(link: socket.socket) -> None:
    """Send something, and break the connection off (socket(7): closing with no time to linger resets it)."""
    link.sendall(b"some of the output")
    link.recv(5)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_connection_that_breaks_off_is_no_end_of_output(hook: Hook) -> None:
    """After a reset nobody knows what is missing: what had come is followed by what can be no packet of a gateway."""
    with gateway(reset) as port, start(command(hook, port)) as ssh:
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        assert ssh.stdout.read(18) == b"some of the output"
        ssh.stdin.write(b"hello")
        ssh.stdin.flush()
        assert ssh.stdout.read() == bytes(512 << 10)
        ssh.stdin.close()
        assert ssh.wait(20) == 0


def test_an_ssh_that_has_not_read_everything_is_given_time(hook: Hook) -> None:
    """A stopped ssh may need no more than what had come; it reads that, and has ended before there is anything else."""
    with gateway(reset) as port, start(command(hook, port)) as ssh:
        assert ssh.stdin is not None
        assert ssh.stdout is not None
        ssh.stdin.write(b"hello")
        ssh.stdin.flush()
        # Longer than an ssh that has read everything is given.
        with pytest.raises(subprocess.TimeoutExpired):
            ssh.wait(2.5)
        assert ssh.stdout.read(18) == b"some of the output"
        ssh.stdin.close()
        assert ssh.wait(20) == 0
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


def test_the_relay_ends_with_an_ssh_that_gives_up(hook: Hook) -> None:
    """While the gateway's machine does not answer, the relay waits, until ssh has waited long enough."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        # A full backlog drops what comes further (listen(2)), as a machine does that does not answer.
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                link = stack.enter_context(socket.socket())
                link.setblocking(False)
                link.connect_ex(address)
            with start(command(hook, str(address[1]))) as ssh:
                assert ssh.stdin is not None
                assert ssh.stderr is not None
                wait_for(lambda: connecting(ssh.pid, address[1]))
                ssh.stdin.close()
                assert ssh.wait(20) == 0
                assert ssh.stderr.read() == b""


def connecting(pid: int, port: int) -> bool:
    """Whether a process has a connection under way (proc(5), /proc/net/tcp: SYN_SENT is 02)."""
    sockets = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    for row in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = row.split()
        if fields[2].endswith(f":{port:04X}") and fields[3] == "02" and f"socket:[{fields[9]}]" in sockets:
            return True
    return False
