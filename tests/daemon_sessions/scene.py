"""One login whose monitor is the process above the tests, and everything that a session of it meets.

The tests run below that monitor, so that they can ask as the login's own processes. A real socket, a real server, a
gateway of values.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hoopjump.agent import IDENTITIES_ANSWER, REQUEST_IDENTITIES, SIGN_REQUEST, SIGN_RESPONSE
from hoopjump.audit.events import Audit, Event, Kind
from hoopjump.audit.sinks import FileSink
from hoopjump.config import Config, parse
from hoopjump.daemon import processes, systemd, wire
from hoopjump.daemon.admin import Administration
from hoopjump.daemon.agents import AgentSockets
from hoopjump.daemon.handover import Handovers
from hoopjump.daemon.login import Admission, Login, State
from hoopjump.daemon.logins import LoginTable
from hoopjump.daemon.preflight import Preflight
from hoopjump.daemon.processes import Process
from hoopjump.daemon.server import Peers, Server
from hoopjump.daemon.sessions import Sessions
from hoopjump.daemon.threads import Threads
from hoopjump.daemon.wire import Message, Pair
from hoopjump.decision.certificate import Certificate
from hoopjump.decision.reasons import Reason
from hoopjump.decision.session import Role, Verb
from hoopjump.decision.values import Access, LoginRequest, Token, User, Verdict
from hoopjump.decision.wire import Reader, encode_string
from hoopjump.gateway.client import GatewayError
from hoopjump.gateway.roles import RoleFound, RoleMissing, RolesUnavailable
from hoopjump.handoff.issue import CertificateSpec, PrivateKeySigner, issue, options
from tests.daemon.yard import MemorySink

ALICE = User("auth0|alice", "alice@x.io", "active", ("dev",), "Alice")
BASH = Role("mybash", "custom", online=True)
WEB = Role("web1", "application", "ssh", online=True)
PG = Role("pgdemo", "database", "postgres", online=True)
MONGO = Role("mongo", "database", "mongodb", online=True)
IDP = "https://idp.example.com"


def token_settings(keys: str) -> str:
    """Sessions may bring tokens of one issuer, :data:`IDP`, whose keys are there; the user is known by e-mail."""
    return f"""
[tokens]
session = "optional"
[[tokens.issuer]]
issuer = "{IDP}"
audiences = ["hoopjump"]
keys = "{keys}"
user_claim = "email"
user_attribute = "email"
"""


class FakeGateway:
    """Roles and session rows, as values; ``delay`` holds up every answer, ``down`` makes them fail."""

    def __init__(self) -> None:
        self.roles = [BASH, WEB, PG, MONGO]
        self.approved: float | None = None
        self.status: int | None = None
        self.notice: str | None = None
        self.down: GatewayError | None = None
        self.hold: threading.Event | None = None

    def find(self, name: str, user: User) -> RoleFound | RoleMissing | RolesUnavailable:
        if self.hold is not None:
            self.hold.wait(30)
        if self.down is not None:
            return RolesUnavailable(self.down.message, slow=self.down.kind == "slow")
        found = next((role for role in self.roles if role.name == name), None)
        return RoleFound(found) if found else RoleMissing(tuple(role.name for role in self.roles))

    def visible(self, user: User) -> tuple[Role, ...]:
        if self.down is not None:
            raise self.down
        return tuple(self.roles)

    def approved_until(self, user: User, role: Role) -> float | None:
        return self.approved

    def exit_status(
        self, user: User, role: Role, verb: Verb, started: float, correlation: str | None = None
    ) -> int | None:
        return self.status

    def five_minute_notice(self, user: User) -> str | None:
        return self.notice


@dataclass
class FakeWatch:
    """Takes note of what it is told."""

    opened: list[Login] = field(default_factory=list)
    cuts: list[tuple[Login, str]] = field(default_factory=list)

    def open(self, login: Login) -> None:
        self.opened.append(login)

    def bind(self, login: Login, token: Token) -> None:
        login.admission = login.admission.with_token(token.mark, token.ends)

    def cut(self, login: Login, detail: str) -> None:
        login.cut = Reason.LOGIN_ENDED
        self.cuts.append((login, detail))


@dataclass
class FakeReach:
    """The way to the gateway's SSH server; ``wrong`` says what is the matter with it."""

    wrong: str | None = None

    def look(self) -> None:
        pass

    async def fault(self) -> str | None:
        return self.wrong


def key_line(blob: bytes) -> str:
    return f"{blob[4 : 4 + blob[3]].decode()} {base64.b64encode(blob).decode()}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


class Scene:
    """See the module."""

    def __init__(self, directory: Path, settings: str) -> None:
        self.directory = directory
        self.signer = PrivateKeySigner(Ed25519PrivateKey.generate())
        self.host = PrivateKeySigner(Ed25519PrivateKey.generate())
        self.known_hosts = directory / "known_hosts"
        self.port = free_port()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key_line(self.host.public_key)}\n")
        self.gateway = FakeGateway()
        self.watch = FakeWatch()
        self.reach = FakeReach()
        self.sink = MemorySink()
        self.trail = directory / "audit.jsonl"
        self.audit = Audit([self.sink])
        self.user_ca = PrivateKeySigner(Ed25519PrivateKey.generate())
        self.certificate = self.new_certificate()
        self.ends = int(time.time()) + 3600
        self.verdict = Verdict(
            Access.ALLOW,
            Reason.ALLOWED,
            Reason.ALLOWED.sentence(),
            (),
            "restrict alice@x.io",
            self.ends,
            ALICE,
            ALICE.email,
        )
        self.judged: list[LoginRequest] = []
        self.config = self.configured(settings)
        self.table = LoginTable(directory / "logins")
        self.threads = Threads(4)
        monitor = processes.find(os.getppid())
        assert monitor is not None
        self.login = self.new_login(monitor)

    def configured(self, settings: str) -> Config:
        return parse(
            f"""
            [daemon]
            socket = "{self.directory}/d.sock"
            state_dir = "{self.directory}"
            [gateway]
            api_url = "http://127.0.0.1:1"
            ssh_host = "127.0.0.1"
            ssh_port = {self.port}
            known_hosts = "{self.known_hosts}"
            {settings}
            """,
            "test.toml",
        )

    def new_certificate(self, **changes: Any) -> bytes:
        now = int(time.time())
        values: dict[str, Any] = {
            "public_key": PrivateKeySigner(Ed25519PrivateKey.generate()).public_key,
            "key_id": "alice's key",
            "principals": (ALICE.email,),
            "valid_after": now - 60,
            "valid_before": now + 3600,
            "serial": 42,
            "extensions": options({"permit-pty": "", "permit-port-forwarding": ""}),
        }
        return issue(CertificateSpec(**(values | changes)), self.user_ca)

    def new_login(self, monitor: Process, **changes: Any) -> Login:
        """An open login of alice on a monitor; ``changes`` are those of its admission."""
        admission = Admission(
            account="hoop",
            uid=os.getuid(),
            certificate=self.certificate,
            access=Access.ALLOW,
            reason=Reason.ALLOWED,
            sentence="",
            deadline=self.ends,
            user=ALICE,
            identity=ALICE.email,
            source="192.0.2.7",
        )
        login = Login("login234", monitor, replace(admission, **changes), time.time(), State.OPEN)
        self.table.put(login)
        return login

    def change(self, **changes: Any) -> None:
        """Admit the login again, with other values."""
        self.login.admission = replace(self.login.admission, **changes)

    async def judge(self, request: LoginRequest, certificate: Certificate, seconds: float) -> Verdict:
        self.judged.append(request)
        return self.verdict

    async def start(self) -> None:
        self.agents = AgentSockets(self.directory / "agents", self.table, self.audit)
        self.sessions = Sessions(
            self.config,
            table=self.table,
            watch=self.watch,
            judge=self.judge,
            reach=self.reach,
            preflight=Preflight(self.gateway, self.threads),
            outcomes=self.gateway,
            handovers=Handovers(self.config, self.signer, self.agents, self.audit),
            threads=self.threads,
            audit=self.audit,
        )
        administration = Administration(self.table, self.watch.cut, self.trail)
        handlers = {"session": self.sessions.handle, **administration.handlers}
        self.server = Server(handlers, Peers(-1, os.getuid()), 256, self.table.user_of, self.table.crowd)
        await self.server.start(systemd.bind(self.config.daemon.socket))

    async def stop(self) -> None:
        if self.gateway.hold is not None:
            self.gateway.hold.set()
        await self.server.stop(1.0)
        self.sessions.stop()
        for closer in list(self.login.closers):
            closer()
        self.threads.stop()

    # -- The hook's side ---------------------------------------------------------------------------------------------

    @property
    def user_auth(self) -> bytes:
        """The content of SSH_USER_AUTH."""
        return b"publickey " + key_line(self.certificate).encode() + b"\n"

    @asynccontextmanager
    async def call(self, *pairs: Pair, user_auth: bytes | None = b"") -> AsyncIterator[Talk]:
        """A session's connection, its first question sent; ``user_auth`` empty is the right one, None none."""
        reader, writer = await asyncio.open_unix_connection(str(self.config.daemon.socket))
        talk = Talk(reader, writer)
        shown = self.user_auth if user_auth == b"" else user_auth
        await talk.say(("verb", "session"), *pairs, *(() if shown is None else (("user-auth", shown),)))
        try:
            yield talk
        finally:
            writer.close()

    async def ask(self, *pairs: Pair, user_auth: bytes | None = b"") -> Message:
        """The answer to one question."""
        async with self.call(*pairs, user_auth=user_auth) as talk:
            return await talk.hear()

    async def administer(self, verb: str, *pairs: Pair) -> Message:
        """The answer to an administrator's question."""
        reader, writer = await asyncio.open_unix_connection(str(self.config.daemon.socket))
        talk = Talk(reader, writer)
        await talk.say(("verb", verb), *pairs)
        try:
            return await talk.hear()
        finally:
            writer.close()

    def events(self, kind: Kind) -> list[Event]:
        return [event for event in self.sink.events if event.kind is kind]

    def keep_trail(self) -> None:
        """Write what was recorded so far to the audit file."""
        file = FileSink(self.trail)
        for event in self.sink.events:
            file.write(event)
        file.close()


class Talk:
    """One connection, seen from the hook."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, *pairs: Pair) -> None:
        self._writer.write(wire.encode(pairs))
        await self._writer.drain()

    async def hear(self) -> Message:
        async with asyncio.timeout(10):
            message = await wire.read_message(self._reader)
        assert message is not None, "the connection ended without an answer"
        return message


@asynccontextmanager
async def scene(settings: str = "") -> AsyncIterator[Scene]:
    """A running scene, in a directory whose path is short enough for sockets; ``settings`` are lines of TOML."""
    with tempfile.TemporaryDirectory(prefix="scene-") as name:
        os.chmod(name, 0o755)  # noqa: PTH101
        found = Scene(Path(name), settings)
        await found.start()
        try:
            yield found
        finally:
            await found.stop()


async def authenticate(run: Message) -> None:
    """Do what ssh does before the gateway lets it in: have the agent of a plan sign (RFC 4252 section 7)."""
    config = Path(os.fsdecode(run.many("argv")[2])).read_text()
    agent, user = (re.findall(rf'{name} "(.+)"', config)[0] for name in ("IdentityAgent", "User"))
    reader, writer = await asyncio.open_unix_connection(agent)

    async def ask(message: bytes) -> Reader:
        writer.write(encode_string(message))
        return Reader(await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big")))

    answer = await ask(bytes([REQUEST_IDENTITIES]))
    assert (answer.byte("type"), answer.uint32("count")) == (IDENTITIES_ANSWER, 1)
    blob = answer.string("key")
    kind = b"ssh-ed25519-cert-v01@openssh.com"
    head = (b"session", b"\x32", user.encode(), b"ssh-connection", b"publickey", b"\1", kind, blob)
    data = b"".join(part if len(part) == 1 else encode_string(part) for part in head)
    answer = await ask(bytes([SIGN_REQUEST]) + encode_string(blob) + encode_string(data) + bytes(4))
    assert answer.byte("type") == SIGN_RESPONSE
    writer.close()


def lines(message: Message, key: str = "text") -> list[str]:
    return [value.decode() for value in message.many(key)]


def outcome(message: Message) -> tuple[str | None, str | None]:
    """Outcome and reason."""
    return message.text("outcome"), message.text("reason")
