"""A daemon's parts in one event loop, real processes that stand for sshd's, a real socket, and a directory in memory.

As root (in the private view) the daemon's peers have uids of their own; else everything is rootless.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pwd
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoopjump.audit.events import Audit, Event, Kind
from hoopjump.config import Config, parse
from hoopjump.daemon import processes, systemd, wire
from hoopjump.daemon.login import Login
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.lookups import Lookups
from hoopjump.daemon.policy import PolicySource
from hoopjump.daemon.principals import Principals
from hoopjump.daemon.processes import Process
from hoopjump.daemon.server import Call, Handler, Peers, Server
from hoopjump.daemon.threads import Threads
from hoopjump.daemon.watch import Watch
from hoopjump.daemon.wire import Message
from hoopjump.decision.values import Answer, Found, Lookup, Missing, User
from hoopjump.dev import accounts, programs
from hoopjump.handoff.issue import CertificateSpec, PrivateKeySigner, issue, options

ROOT = accounts.inside()
ALICE = User("auth0|alice", "alice@x.io", "active", ("dev",), "Alice")


@dataclass(frozen=True)
class Uids:
    """Whose uid is what; None is our own."""

    hook: int | None
    account: int | None
    stranger: int | None
    preauth: int | None
    name: str

    @classmethod
    def here(cls) -> Uids:
        if not ROOT:
            return cls(None, None, None, None, pwd.getpwuid(os.getuid()).pw_name)
        uid = {name: accounts.ids(name)[0] for name in ("hoopjump-hook", "hoop", "alice", "sshd")}
        return cls(uid["hoopjump-hook"], uid["hoop"], uid["alice"], uid["sshd"], "hoop")


class Authority:
    """A CA that gives out user certificates."""

    def __init__(self) -> None:
        self.signer = PrivateKeySigner(Ed25519PrivateKey.generate())

    @property
    def line(self) -> str:
        return f"ssh-ed25519 {base64.b64encode(self.signer.public_key).decode()} user CA\n"

    def certificate(self, *principals: str, seconds: int = 600, **fields: Any) -> bytes:
        key = PrivateKeySigner(Ed25519PrivateKey.generate()).public_key
        now = int(time.time())
        spec = CertificateSpec(
            public_key=key,
            key_id="key of " + " ".join(principals),
            principals=principals,
            valid_after=now - 60,
            valid_before=now + seconds,
            extensions=options({"permit-pty": "", "permit-port-forwarding": ""}),
            **fields,
        )
        return issue(spec, self.signer)


@dataclass
class FakeDirectory:
    """Users by e-mail address; answers come after ``delay`` seconds and when the ``gate`` is open."""

    users: dict[str, User] = field(default_factory=lambda: {ALICE.email: ALICE})
    delay: float = 0.0
    asked: list[Lookup] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def answer(self, lookup: Lookup) -> Answer:
        self.asked.append(lookup)
        time.sleep(self.delay)
        self.gate.wait(20)
        user = self.users.get(lookup.value)
        return Missing() if user is None else Found(user)


class MemorySink:
    """Events, kept; ``broken`` makes writing fail."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.broken = False

    def write(self, event: Event) -> None:
        if self.broken:
            raise OSError("the disk is full")
        self.events.append(event)

    def complain(self, message: str) -> None:
        pass

    def kinds(self) -> list[Kind]:
        return [event.kind for event in self.events]


async def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in the kernel
            await asyncio.sleep(0.005)


class Monitor:
    """A process that stands for sshd's monitor; see fake_sshd.py."""

    def __init__(self, process: asyncio.subprocess.Process, socket: Path, uids: Uids) -> None:
        self._process = process
        self._socket = socket
        self._uids = uids
        found = processes.find(process.pid)
        assert found is not None
        self.process: Process = found

    async def tell(self, do: str, **values: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"do": do, "socket": str(self._socket), **values}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(15):
            line = await self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line)
        return found

    async def preauth(self) -> None:
        await self.tell("preauth", uid=self._uids.preauth)

    async def hook(self, certificate: bytes | str, *, account: str | None = None, uid: int | None = None) -> Message:
        text = certificate if isinstance(certificate, str) else base64.b64encode(certificate).decode()
        data = wire.encode(
            [("verb", "principals"), ("account", account or self._uids.name), ("certificate", text)],
        )
        answer = await self.tell("hook", uid=self._uids.hook if uid is None else uid, data=data.hex())
        return read_reply(answer["reply"])

    async def login(self, uid: int | None = None) -> Process:
        answer = await self.tell("login", uid=self._uids.account if uid is None else uid)
        found = processes.find(answer["pid"])
        assert found is not None
        return found

    async def session(self, *pairs: wire.Pair, uid: int | None = None) -> Message:
        data = wire.encode([("verb", "session"), *pairs])
        answer = await self.tell("session", uid=self._uids.account if uid is None else uid, data=data.hex())
        return read_reply(answer["reply"])

    async def leave(self) -> tuple[Process, Process]:
        """A session's process and its child, which stay when the monitor goes."""
        answer = await self.tell("leave", uid=self._uids.account)
        outer, inner = processes.find(answer["pid"]), processes.find(answer["inner"])
        assert outer is not None
        assert inner is not None
        return outer, inner

    async def quit(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b'{"do": "quit"}\n')
        await self._process.wait()

    async def kill(self) -> None:
        for one in (*processes.descendants(self.process), self.process):
            if processes.alive(one):
                with suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
        await self._process.wait()


async def start_monitor(socket: Path) -> Monitor:
    """A process that stands for sshd's monitor; what it forks asks at ``socket``."""
    process = await asyncio.create_subprocess_exec(
        str(programs.python()),
        "-ISE",
        str(Path(__file__).with_name("fake_sshd.py")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    return Monitor(process, socket, Uids.here())


def need_private_view() -> None:
    """Root without other people's accounts is neither the one nor the other."""
    if os.geteuid() == 0 and not ROOT:
        pytest.skip("root needs the private view")


def read_reply(data: str | None) -> Message:
    """The first frame of what came back."""
    assert data, "the connection ended without an answer"
    body = bytes.fromhex(data)
    return wire.decode(body[4 : 4 + int.from_bytes(body[:4], "big")])


def outcome(message: Message) -> tuple[str | None, str | None]:
    """Outcome and reason."""
    return message.text("outcome"), message.text("reason")


class CountingWatch(Watch):
    """Counts its looks at logins that are awaited."""

    looks = 0

    def _is_real(self, login: Login) -> bool:
        self.looks += 1
        return super()._is_real(login)


class Yard:
    """See the module; made by :func:`yard`."""

    def __init__(self, directory: Path, settings: dict[str, str]) -> None:
        self.directory = directory
        self.socket = directory / "d.sock"
        self.uids = Uids.here()
        self.authority = Authority()
        self.directory_of_users = FakeDirectory()
        self.sink = MemorySink()
        (directory / "ca.pub").write_text(f"# who may let in\n\n{self.authority.line}")
        self.config = self._config(settings)
        self.table = LoginTable(directory / "logins")
        self.handlers: dict[str, Handler] = {}
        self.peers = Peers(os.getuid() if self.uids.hook is None else self.uids.hook, os.getuid())
        self.monitors: list[Monitor] = []

    def _config(self, settings: dict[str, str]) -> Config:
        given = {"poll_interval": "0.02", "login_grace": "30", "cache": "30.0", "calls_per_uid": "8", **settings}
        return parse(
            f"""
            [daemon]
            socket = "{self.socket}"
            state_dir = "{self.directory}"
            calls_per_uid = {given["calls_per_uid"]}
            [sshd]
            rootless = {"false" if ROOT else "true"}
            hook_user = "hoopjump-hook"
            poll_interval = {given["poll_interval"]}
            login_grace = {given["login_grace"]}
            [trust]
            user_cas = "{self.directory / "ca.pub"}"
            [accounts]
            shared = ["{self.uids.name}"]
            [gateway]
            api_url = "http://127.0.0.1:1"
            ssh_host = "127.0.0.1"
            cache = {given["cache"]}
            """,
            "test.toml",
        )

    async def start(self) -> None:
        self.audit = Audit([self.sink])
        self.watch = CountingWatch(self.table, self.audit, self.config.sshd)
        self.threads = Threads(4)
        lookups = Lookups(self.directory_of_users, self.threads, self.config.gateway.cache)
        self.principals = Principals(
            PolicySource(self.config),
            lookups,
            self.table,
            self.watch,
            self.audit,
            rootless=self.config.sshd.rootless,
        )
        handlers = {"principals": self.principals.handle, "session": self.session, **self.handlers}
        limit = self.config.daemon.calls_per_uid
        self.server = Server(handlers, self.peers, limit, self.table.user_of, self.table.crowd)
        self.table.load()
        self.watch.resume()
        await self.server.start(systemd.bind(self.socket))

    async def stop(self) -> None:
        await self.server.stop(1.0)
        self.watch.stop()
        self.threads.stop()

    async def restart(self) -> None:
        await self.stop()
        self.table = LoginTable(self.directory / "logins")
        await self.start()

    async def session(self, call: Call) -> None:
        """A session handler that tells which login the caller belongs to."""
        login = self.table.above(call.peer)
        await call.reply([("outcome", "ok"), ("json", "" if login is None else login.ref)])

    async def monitor(self) -> Monitor:
        monitor = await start_monitor(self.socket)
        self.monitors.append(monitor)
        return monitor

    async def looked(self) -> None:
        """Wait until three more looks have been taken."""
        before = self.watch.looks
        await eventually(lambda: self.watch.looks >= before + 3)

    async def admitted(self, email: str = ALICE.email, **fields: Any) -> tuple[Monitor, Login]:
        """A monitor on which a certificate has been admitted, alice's unless told otherwise."""
        monitor = await self.monitor()
        await monitor.preauth()
        assert outcome(await monitor.hook(self.authority.certificate(email, **fields))) == ("line", None)
        login = self.table.on(monitor.process)
        assert login is not None
        return monitor, login

    async def opened(self, **fields: Any) -> tuple[Monitor, Login]:
        """A monitor whose login is open."""
        monitor, login = await self.admitted(**fields)
        await monitor.login()
        await eventually(lambda: Kind.LOGIN_OPENED in self.sink.kinds())
        return monitor, login


@asynccontextmanager
async def yard(**settings: str) -> AsyncIterator[Yard]:
    """A running yard in a directory that every uid reaches; ``settings`` are those of :meth:`Yard._config`."""
    need_private_view()
    with tempfile.TemporaryDirectory(prefix="yard-", dir=accounts.PLACE if ROOT else None) as name:
        os.chmod(name, 0o755)  # noqa: PTH101
        found = Yard(Path(name), settings)
        await found.start()
        try:
            yield found
        finally:
            await found.stop()
            for monitor in found.monitors:
                await monitor.kill()
