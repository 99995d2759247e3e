"""The real program, ``python -m hoopjump.daemon``, with a socket handed over as systemd does and a gateway of stubs.

As root (in the private view) it runs as ``hoopjump`` with CAP_KILL and nothing else, as its unit has it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

from hoopjump.daemon import wire
from hoopjump.daemon.wire import Message
from hoopjump.dev import accounts, programs
from hoopjump.dev.services import minimal_environment
from tests.daemon.yard import ALICE, ROOT, Authority, Monitor, Uids, eventually, need_private_view, start_monitor
from tests.serving import Server

LAUNCHER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); "
    "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); os.execv(sys.argv[2], sys.argv[2:])"
)


class _Gateway(BaseHTTPRequestHandler):
    """Knows alice and nobody else."""

    user: ClassVar = {
        "id": ALICE.subject,
        "name": ALICE.name,
        "email": ALICE.email,
        "status": "active",
        "groups": ["dev"],
    }

    def do_GET(self) -> None:
        known = {"/api/users": [self.user], f"/api/users/{ALICE.email}": self.user}
        found = known.get(self.path)
        body = json.dumps({"message": "user not found"} if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class DaemonService:
    """One daemon's files and process; made by :func:`service`."""

    def __init__(self, directory: Path, gateway_port: int) -> None:
        self.directory = directory
        self.uids = Uids.here()
        self.authority = Authority()
        self.socket = directory / "run" / "d.sock"
        self.config = directory / "hoopjump.toml"
        self.log = directory / "log"
        self.audit = directory / "run" / "audit.jsonl"
        (directory / "run").mkdir()
        (directory / "ca.pub").write_text(self.authority.line)
        self.secret("key", "hpk_" + "a" * 43)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "handoff_ca")], check=True)
        self.secret("handoff_ca", (directory / "handoff_ca").read_text())
        self.config.write_text(
            f"""
[daemon]
socket = "{self.socket}"
state_dir = "{directory / "run"}"
keys_dir = "{directory / "run"}"
[sshd]
rootless = {"false" if ROOT else "true"}
poll_interval = 0.02
[trust]
user_cas = "{directory / "ca.pub"}"
[accounts]
shared = ["{self.uids.name}"]
[gateway]
api_url = "http://127.0.0.1:{gateway_port}"
api_key = "file:{directory / "key"}"
ssh_host = "127.0.0.1"
[handoff]
ca_key = "file:{directory / "handoff_ca"}"
[audit]
file = "{self.audit}"
log = "stderr"
"""
        )
        if ROOT:
            for path in (directory / "run", directory / "key", directory / "handoff_ca"):
                os.chown(path, *accounts.ids("hoopjump"))
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._notify.bind(str(directory / "notify"))
        (directory / "notify").chmod(0o666)
        self._listener: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.monitors: list[Monitor] = []

    def secret(self, name: str, text: str) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text)

    def listen(self) -> None:
        """Be systemd: hold the socket, so that it outlives the daemon."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.socket))
        self.socket.chmod(0o666)
        self._listener.listen(1024)

    def launch(self, *before: str, capabilities: str = "-all,+kill") -> subprocess.Popen[bytes]:
        """Start the program, without waiting; ``before`` is a program that starts it."""
        argv: list[str] = [str(programs.python()), "-m", "hoopjump.daemon", "--config", str(self.config)]
        if ROOT:
            uid, gid = accounts.ids("hoopjump")
            limits = [f"--{kind}={capabilities}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
            argv = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *limits, *argv]
        argv = [*before, *argv]
        descriptors: Sequence[int] = ()
        if self._listener is not None:
            descriptors = (self._listener.fileno(),)
            argv = [str(programs.python()), "-ISc", LAUNCHER, str(descriptors[0]), "/usr/bin/env", *argv]
        environment = minimal_environment(
            NOTIFY_SOCKET=str(self.directory / "notify"),
            PYTHONPATH=str(programs.reachable(programs.CHECKOUT)),
            PYTHONDONTWRITEBYTECODE="1",
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, stderr=log, env=environment, pass_fds=descriptors, cwd="/")
        return self.process

    async def start(self, **options: Any) -> None:
        self.launch(**options)
        await eventually(lambda: "READY=1" in self.notified(), 20)

    def notified(self) -> str:
        try:
            return self._notify.recv(4096).decode()
        except BlockingIOError:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            return ""

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the daemon a signal and wait for its end; gives its exit status."""
        process = self.process
        assert process is not None
        process.send_signal(number)
        return await asyncio.to_thread(process.wait, 15)

    async def monitor(self) -> Monitor:
        monitor = await start_monitor(self.socket)
        self.monitors.append(monitor)
        return monitor

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()] if self.audit.exists() else []

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events()]

    async def ask(self, verb: str) -> Message:
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        writer.write(wire.encode([("verb", verb)]))
        async with asyncio.timeout(10):
            reply = await wire.read_message(reader)
        writer.close()
        assert reply is not None
        return reply

    async def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            await self.end(signal.SIGKILL)
        for monitor in self.monitors:
            await monitor.kill()
        self._notify.close()
        if self._listener is not None:
            self._listener.close()


@asynccontextmanager
async def service(gateway_port: int | None = None) -> AsyncIterator[DaemonService]:
    """A daemon's directory and its gateway (or another's); the daemon itself is for the test to start."""
    need_private_view()
    place = tempfile.TemporaryDirectory(prefix="daemon-", dir=accounts.PLACE if ROOT else None)
    with Server(_Gateway) as gateway, place as name:
        os.chmod(name, 0o755)  # noqa: PTH101
        found = DaemonService(Path(name), gateway_port or gateway.server_port)
        try:
            yield found
        finally:
            await found.close()
