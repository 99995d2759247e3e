"""A real ssh above the relay, and a server that ends its connection in every way a gateway's may end."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import subprocess
import tempfile
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from hoopjump.dev import programs
from hoopjump.dev.services import wait_for
from hoopjump.handoff.ssh import epilogue
from tests.hook.conftest import Hook

OUTPUT = b"".join(b"%07d\n" % number for number in range(5_000))
"""As much as a socket takes at once."""


class Open(asyncssh.SSHServer):
    """Lets everybody in."""

    def begin_auth(self, username: str) -> bool:
        """Nothing is asked for."""
        return False


async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Print, tell the exit status 7 or nothing, and end the connection in order, or by a reset."""
    command = process.command or ""
    process.stdout.write(OUTPUT)
    await process.stdout.drain()
    link = process.channel.get_extra_info("socket")
    if "status" in command:
        process.exit(7)
    # tcp(7), SIOCOUTQ: a reset drops what has not been sent.
    while any(fcntl.ioctl(link.fileno(), termios.TIOCOUTQ, bytes(4))):  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.005)
    if "reset" in command:
        # socket(7): closing with no time to linger resets the connection.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    process.channel.get_connection().abort()


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """The server's port."""
    loop, found, ready = asyncio.new_event_loop(), [0], threading.Event()

    async def story() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        options: dict[str, Any] = {"server_host_keys": [key], "process_factory": serve, "encoding": None}
        server = await asyncssh.create_server(Open, "127.0.0.1", 0, **options)
        found[0] = server.sockets[0].getsockname()[1]
        ready.set()

    loop.create_task(story())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert ready.wait(30)
    yield str(found[0])
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)


def run(hook: Hook, port: str, command: str) -> tuple[int, bytes, bytes]:
    """Exit status, output and error output of an ssh that reaches the server by the relay."""
    argv = [*hook.python, str(hook.file), "relay", "%h", "%p"]
    options = {
        "ProxyCommand": " ".join(argv),
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "LogLevel": "ERROR",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    client = [str(programs.ssh()), "-F", "none", *words, "-p", port, "127.0.0.1", command]
    # Into a file, as a session's: what a pipe does not take at once, ssh drops when its connection ends.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            client, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, check=False, timeout=60
        )
        output.seek(0)
        return done.returncode, output.read(), done.stderr


@pytest.mark.parametrize("command", ["status, end", "status, reset"])
def test_what_had_come_is_read_whatever_the_end(hook: Hook, port: str, command: str) -> None:
    """With the exit status everything has come; neither a close nor a reset behind it takes any of it back."""
    status, output, said = run(hook, port, command)
    assert (status, output) == (7, OUTPUT)
    assert b"hoopjump" not in said


def test_an_end_without_exit_status_is_what_ssh_says_it_is(hook: Hook, port: str) -> None:
    """The gateway sometimes loses a status: ssh reads everything, and its last line is the one that is known."""
    status, output, said = run(hook, port, "end")
    assert (status, output) == (255, OUTPUT)
    assert said.decode().endswith(epilogue("127.0.0.1"))


def test_a_reset_without_exit_status_is_no_end(hook: Hook, port: str) -> None:
    """Something may be missing: ssh fails, and does not say in the known words that the server has closed."""
    status, output, said = run(hook, port, "reset")
    assert status == 255
    assert OUTPUT.startswith(output)
    assert epilogue("127.0.0.1").encode() not in said


def test_the_relay_is_gone_when_ssh_is(hook: Hook, port: str) -> None:
    """Nothing of a session's connection is left behind it."""
    run(hook, port, "status, reset")
    mine = str(hook.file).encode()
    wait_for(lambda: not [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if mine in read(entry)])


def read(path: Path) -> bytes:
    """A file's content, empty when it has gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
