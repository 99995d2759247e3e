"""Agent sockets, asked by the real ssh-add and ssh, and by those who may not ask."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hoopjump.audit.events import Kind
from hoopjump.daemon import processes
from hoopjump.daemon.agents import AgentSocket, AgentSockets
from hoopjump.daemon.handover import Handover
from hoopjump.decision.certificate import parse_certificate
from hoopjump.decision.reasons import Reason
from hoopjump.decision.session import SessionVerdict
from hoopjump.handoff.agent import MESSAGE_LIMIT, Agent
from hoopjump.handoff.delegation import Handoff, mint
from tests.daemon.yard import eventually
from tests.daemon_sessions.scene import ALICE, Scene, key_line, scene

LIST = b"\0\0\0\1\x0b"


def minted(found: Scene) -> Handoff:
    return mint(
        found.signer,
        identity=ALICE.email,
        cert_attribute="principal",
        extensions=["permit-pty"],
        now=found.login.admitted_at,
        deadline=int(found.login.admitted_at) + 600,
        ref=found.login.ref,
    )


async def socket_of(found: Scene) -> AgentSocket:
    return await found.agents.open(found.login, Agent(minted(found), frozenset({found.host.public_key})), "ref23456")


async def run(*argv: str | bytes, **options: Any) -> tuple[int, bytes, bytes]:
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **options,
    )
    out, err = await child.communicate()
    assert child.returncode is not None
    return child.returncode, out, err


async def identities(path: Path, **options: Any) -> tuple[int, bytes, bytes]:
    return await run("ssh-add", "-L", env={"SSH_AUTH_SOCK": str(path), "PATH": "/usr/bin:/bin"}, **options)


def test_the_logins_own_processes_see_one_certificate() -> None:
    """ssh-add below the login's monitor lists the handoff certificate and nothing else."""

    async def story() -> None:
        async with scene() as found:
            status, out, _ = await identities((await socket_of(found)).path)
            assert status == 0
            (line,) = out.decode().splitlines()
            assert line.startswith("ssh-ed25519-cert-v01@openssh.com ")

    asyncio.run(story())


def test_processes_of_another_login_are_refused() -> None:
    """A process that has the uid and is below another monitor gets nothing, and the trail tells of it."""

    async def story() -> None:
        async with scene() as found:
            sleeper = await asyncio.create_subprocess_exec("sleep", "600")
            try:
                monitor = processes.find(sleeper.pid)
                assert monitor is not None
                found.table.drop(found.login)
                found.login = found.new_login(monitor)
                socket = await socket_of(found)
                status, out, _ = await identities(socket.path)
                assert (status != 0, out) == (True, b"")
                (event,) = found.events(Kind.HANDOFF_REFUSED)
                assert event.ref == "ref23456"
                assert event.fields["detail"] == "the peer is not of this login"
                assert not socket.closed
            finally:
                sleeper.kill()
                await sleeper.wait()

    asyncio.run(story())


def test_a_login_nearer_to_the_process_counts() -> None:
    """A monitor between the process and ours is a login of its own, and its processes are not ours."""

    async def story() -> None:
        async with scene() as found:
            own = processes.find(os.getpid())
            assert own is not None
            found.new_login(own)
            status, _, _ = await identities((await socket_of(found)).path)
            assert status != 0

    asyncio.run(story())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_uid_is_refused() -> None:
    """The socket can be reached by everybody; the kernel's word on the uid decides."""

    async def story() -> None:
        async with scene() as found:
            status, out, _ = await identities((await socket_of(found)).path, user=65534, group=65534, extra_groups=[])
            assert (status != 0, out) == (True, b"")
            assert found.events(Kind.HANDOFF_REFUSED)[0].fields["uid"] == 65534

    asyncio.run(story())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_strangers_at_a_socket_do_not_fill_the_audit_trail() -> None:
    """Each is turned away, and of one uid a few are recorded; the login's own processes are answered all the while."""

    async def story() -> None:
        async with scene() as found:
            agent = await socket_of(found)
            for _ in range(12):
                status, out, _ = await identities(agent.path, user=65534, group=65534, extra_groups=[])
                assert (status != 0, out) == (True, b"")
            assert len(found.events(Kind.HANDOFF_REFUSED)) == 5
            assert (await identities(agent.path))[0] == 0

    asyncio.run(story())


def test_the_names_of_sockets_cannot_be_listed_by_others() -> None:
    """Directories may be passed through, not read; names are random."""

    async def story() -> None:
        async with scene() as found:
            first, second = await socket_of(found), await socket_of(found)
            assert first.path.parent != second.path.parent
            assert first.path.parent.parent.stat().st_mode & 0o777 == 0o711

    asyncio.run(story())


def test_a_message_of_impossible_length_ends_the_conversation() -> None:
    """What cannot be an agent message is not waited for; others are still answered."""

    async def story() -> None:
        async with scene() as found:
            socket = await socket_of(found)
            for length in (0, MESSAGE_LIMIT + 1, 2**32 - 1):
                reader, writer = await asyncio.open_unix_connection(str(socket.path))
                writer.write(length.to_bytes(4, "big"))
                assert await reader.read() == b""
                writer.close()
            reader, writer = await asyncio.open_unix_connection(str(socket.path))
            writer.write(LIST)
            assert (await reader.readexactly(5))[4] == 12
            writer.close()

    asyncio.run(story())


def test_conversations_are_few() -> None:
    """A process that opens connections without end is turned away, and takes nothing from the daemon."""

    async def story() -> None:
        async with scene() as found:
            socket = await socket_of(found)
            held = []
            for _ in range(8):
                reader, writer = await asyncio.open_unix_connection(str(socket.path))
                writer.write(LIST)
                await reader.readexactly(5)
                held.append(writer)
            reader, writer = await asyncio.open_unix_connection(str(socket.path))
            assert await reader.read() == b""
            for one in (*held, writer):
                one.close()

    asyncio.run(story())


def test_an_agent_that_nobody_uses_closes_by_itself() -> None:
    """After its time the socket is gone, and so is the key."""

    async def story() -> None:
        async with scene() as found:
            sockets = AgentSockets(found.directory / "brief", found.table, found.audit, lifetime=0.05)
            agent = Agent(minted(found), frozenset())
            socket = await sockets.open(found.login, agent, "ref23456")
            await eventually(lambda: socket.closed)
            assert agent.spent
            assert not socket.path.exists()
            assert found.login.closers == []

    asyncio.run(story())


# -- With the real ssh -----------------------------------------------------------------------------------------------


@dataclass
class FakeServer(asyncssh.SSHServer):
    """Takes the handoff authority's certificates, says who came and what for."""

    seen: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self) -> FakeServer:
        return self


@asynccontextmanager
async def gateway(found: Scene) -> Any:
    """An SSH server on the port of the configuration, with the pinned host key."""
    server = FakeServer()

    async def process(one: asyncssh.SSHServerProcess[str]) -> None:
        server.seen.append((one.get_extra_info("username"), one.command or ""))
        one.stdout.write("hello\n")
        one.exit(7)

    pem = found.host._key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    authority = f"cert-authority {key_line(found.signer.public_key)}\n"
    listening = await asyncssh.create_server(
        server,
        "127.0.0.1",
        found.port,
        server_host_keys=[asyncssh.import_private_key(pem)],
        authorized_client_keys=asyncssh.import_authorized_keys(authority),
        process_factory=process,
    )
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


async def hand_over(found: Scene, command: bytes = b"mybash ls -l") -> Handover:
    verdict = SessionVerdict(Reason.ALLOWED, "", (), "spool", "exec", command)
    handovers = found.sessions._handovers
    return await handovers.open(
        found.login,
        parse_certificate(found.certificate),
        verdict,
        identity=ALICE.email,
        deadline=int(found.login.admitted_at) + 600,
        term=None,
        ref="ref23456",
        relay=False,
    )


async def become(handover: Handover) -> tuple[int, bytes, bytes]:
    environment = {name.decode(): value.decode() for name, value in handover.environment.items()}
    return await run(*handover.argv, env=environment)


def test_ssh_reaches_the_gateway_once() -> None:
    """The real ssh signs through the socket, runs the one command and passes its status on; then the key is gone."""

    async def story() -> None:
        async with scene() as found, gateway(found) as server:
            handover = await hand_over(found)
            assert await become(handover) == (7, b"hello\n", b"")
            assert server.seen == [("alice@x.io", "mybash ls -l")]
            (event,) = found.events(Kind.HANDOFF_SIGNED)
            assert event.fields["handoff"]["serial"] == found.events(Kind.HANDOFF_ISSUED)[0].fields["handoff"]["serial"]
            assert (await become(handover))[0] == 255
            assert len(server.seen) == 1

    asyncio.run(story())


def test_ssh_does_not_talk_to_a_swapped_gateway() -> None:
    """A server with another host key than the pinned one gets no signature, and no command."""

    async def story() -> None:
        async with scene() as found, gateway(found) as server:
            handover = await hand_over(found)
            other = Ed25519PrivateKey.generate().public_key()
            line = other.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
            found.known_hosts.write_text(f"[127.0.0.1]:{found.port} {line}\n")
            status, out, err = await become(handover)
            assert (status, out) == (255, b"")
            assert b"Host key verification failed" in err or b"HOST IDENTIFICATION HAS CHANGED" in err
            assert server.seen == []
            assert found.events(Kind.HANDOFF_SIGNED) == []

    asyncio.run(story())


def test_a_careless_client_gets_no_signature_for_another_host() -> None:
    """Even an ssh that does not check host keys cannot use the agent elsewhere: it tells which host it talks to."""

    async def story() -> None:
        async with scene() as found, gateway(found) as server:
            found.known_hosts.write_text(f"other {key_line(found.signer.public_key)}\n")
            handover = await hand_over(found)
            careless = [handover.argv[0], b"-oStrictHostKeyChecking=no", *handover.argv[1:]]
            handover.argv[:] = careless
            status, _, _ = await become(handover)
            assert status == 255
            assert server.seen == []
            details = [event.fields["detail"] for event in found.events(Kind.HANDOFF_REFUSED)]
            assert "the host key is not the gateway's" in details

    asyncio.run(story())


def test_the_private_key_is_nowhere_to_be_found() -> None:
    """Neither in what the hook is given nor in any file below the state directory."""

    async def story() -> None:
        async with scene() as found:
            handover = await hand_over(found)
            texts = [*handover.argv, *handover.environment.values(), *_files(found.directory)]
            assert not any(b"PRIVATE KEY" in text for text in texts)

    asyncio.run(story())


def _files(directory: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in directory.rglob("*") if path.is_file())
