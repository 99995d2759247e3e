"""Refused, with no access whatever, and with a reason: ours where our hook is asked, else sshd's own."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from hoopjump.dev import programs
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import EXPIRED, NOT_YET, Identity
from hoopjump.dev.services import answers, free_port, listening, wait_for
from hoopjump.sshd.versions import Version, installed
from tests.bastion.below import hooks, new_one, newest_row
from tests.bastion.proof import (
    agent,
    assert_held,
    assert_logged,
    bystander,
    events_of,
    gateway_address,
    new_mark,
    no_access,
    told,
)
from tests.bastion.ways import started, status_of, typed
from tests.conftest import need_terminals

DENIED: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"valid": EXPIRED}, "cert-expired"),
    "not-yet-valid": ({"valid": NOT_YET}, "cert-not-yet-valid"),
    "no-principals": ({"principals": ()}, "cert-no-principals"),
    "unsafe-principal": ({"principals": ("alice/smith",)}, "cert-unsafe-principal"),
    "unknown-critical-option": ({"options": ("critical:hoopjump-test@localhost=x",)}, "cert-unknown-option"),
    "force-command": ({"options": ("force-command=/bin/true",)}, "cert-unknown-option"),
}

HELD: dict[str, tuple[str, tuple[str, ...], str]] = {
    "unknown-user": ("does not know a user 'nobody@example.com'", ("nobody@example.com",), "user-unknown"),
    "inactive-user": ("is not active (status: inactive)", ("carol@example.com",), "user-inactive"),
    "two-users": ("more than one user", ("alice@example.com", "bob@example.com"), "user-ambiguous"),
}


@pytest.mark.parametrize("case", DENIED)
def test_a_wrong_certificate_is_denied(bastion: Bastion, case: str) -> None:
    """Denied at authentication by our hook; the reason stands in the audit trail and in the log, each time."""
    flaws, reason = DENIED[case]
    identity = bastion.certificate("alice", **flaws)
    assert_denied(bastion, identity, reason)


def test_a_host_certificate_is_denied(bastion: Bastion, tmp_path: Path) -> None:
    """From a file the client offers none; from an agent it does, and our hook says what is wrong with it."""
    identity = bastion.certificate("alice", host=True)
    with agent(tmp_path, identity.key) as path:
        options = ("-o", f"IdentityAgent={path}", "-o", "IdentitiesOnly=no")
        # The ssh that a jump starts for its first hop is not told of the agent, and offers nothing.
        assert_denied(bastion, identity, "cert-not-user", asked=2, options=options)


def assert_denied(bastion: Bastion, identity: Identity, reason: str, asked: int = 3, **client: Any) -> None:
    attempts = no_access(bastion, identity=identity, **client)
    for attempt in attempts.all:
        assert attempt.returncode == 255
        assert b"Permission denied (publickey)" in attempt.stderr
    events = events_of(bastion, identity)
    assert {(event["kind"], event["reason"]) for event in events} == {("denied", reason)}
    assert len(events) >= asked
    for event in events:
        assert_logged(bastion, event["ref"], reason)


def test_a_certificate_for_another_address_is_denied(bastion: Bastion) -> None:
    """`source-address` elsewhere: our hook says so where sshd tells it the address, else sshd itself."""
    identity = bastion.certificate("alice", options=("source-address=192.0.2.1/32",))
    no_access(bastion, identity=identity)
    if installed(programs.sshd()) >= Version(9, 4):
        assert {(event["kind"], event["reason"]) for event in events_of(bastion, identity)} == {
            ("denied", "cert-source-address")
        }
        return
    assert "not from a permitted source address" in bastion.sshd_log()
    for admitted in [event for event in events_of(bastion, identity) if event["kind"] == "admitted"]:
        bastion.wait_for_event(kind="forgotten", ref=admitted["ref"])
        assert "login-opened" not in {event["kind"] for event in bastion.audit() if event["ref"] == admitted["ref"]}


def test_a_certificate_for_this_address_is_good(bastion: Bastion) -> None:
    """`source-address` with the client in it changes nothing."""
    identity = bastion.certificate("alice", options=("source-address=192.0.2.1/32,127.0.0.0/8",))
    assert bastion.ssh("mybash", "echo here", identity=identity).stdout == b"here\n"


@pytest.mark.parametrize("case", HELD)
def test_a_good_certificate_whose_owner_may_not_go_on_is_told_why(bastion: Bastion, case: str) -> None:
    """Let in to nothing: the user reads the reason with a reference that stands in the log, forwards are closed."""
    sentence, principals, reason = HELD[case]
    assert_held(bastion, bastion.certificate(principals=principals), sentence, reason)


def test_a_held_login_is_told_why_on_a_terminal_too(bastion: Bastion) -> None:
    """`ssh -t` of somebody unknown: ssh gives up where it gets no terminal, so there is one, to read the reason on."""
    need_terminals()
    done = bastion.ssh("mybash", identity=bastion.certificate("nobody"), tty=True)
    assert done.returncode == 77
    assert b"(user-unknown, ref " in done.stdout


def test_somebody_elses_account_is_refused(bastion: Bastion, private_view: None) -> None:
    """`ssh alice@bastion` with bob's certificate; alice's own opens it."""
    identity = bastion.certificate("bob")
    assert_held(bastion, identity, "the account 'alice'", "account-not-allowed", account="alice")
    assert bastion.ssh("mybash", "echo here", account="alice").stdout == b"here\n"


# -- A good certificate without all permissions -----------------------------------------------------------------------


def test_without_permit_pty_there_is_no_terminal_and_no_session(bastion: Bastion) -> None:
    """The gateway wants permit-pty for every session, so ours is refused with the reason; `ssh -t` ends before it."""
    identity = bastion.certificate("alice", extensions=("permit-port-forwarding",))
    mark, row = new_mark(bastion), newest_row(bastion)
    done = bastion.ssh("mybash", f"touch {mark}", identity=identity)
    assert (done.returncode, done.stdout) == (77, b"")
    code, ref = told(done)
    assert code == "no-pty-permission"
    assert_logged(bastion, ref, code)
    done = bastion.jump("mybash", f"touch {mark}", identity=identity)
    assert (done.returncode, done.stdout) == (255, b"")
    done = bastion.ssh("mybash", identity=identity, tty=True, options=("-v",))
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"Remote: " in done.stderr
    assert b"PTY allocation request failed on channel 0" in done.stderr
    with typed(bastion.ssh_command(identity=identity), HOOP_RESOURCE="mybash") as child:
        child.expect("PTY allocation request failed on channel 0")
        child.expect("no-pty-permission, ref")
        assert status_of(child) == 77
    assert not mark.exists()
    assert newest_row(bastion) == row


def test_without_permit_port_forwarding_there_is_no_way_to_the_gateway(bastion: Bastion) -> None:
    """`-J`, `-W` and `-L` are refused by sshd, which says so; sessions through ForceCommand work."""
    identity, before = bastion.certificate("alice", extensions=("permit-pty",)), bastion.log()
    assert bastion.ssh("mybash", "echo here", identity=identity).stdout == b"here\n"
    mark = new_mark(bastion)
    jump = bastion.jump("mybash", f"touch {mark}", identity=identity)
    pipe = bastion.ssh(options=("-W", gateway_address(bastion)), identity=identity)
    for attempt in (jump, pipe):
        assert (attempt.returncode, attempt.stdout) == (255, b"")
        assert b"administratively prohibited" in attempt.stderr
    assert not mark.exists()
    assert bastion.find_log(r"refused local port forward: ", before)
    with forwarding(bastion, "-L", "{port}:" + gateway_address(bastion), identity=identity) as (port, client):
        assert answers(port) == b""
        client.kill()
        assert b"administratively prohibited" in client.communicate()[1]


# -- Forwards with all permissions: to the gateway, and nothing else --------------------------------------------------


@pytest.fixture(scope="module")
def alice(bastion: Bastion) -> Identity:
    """A certificate with every permission that ssh-keygen gives."""
    return bastion.certificate("alice")


def test_a_forward_to_the_gateway_is_a_way_to_it(bastion: Bastion, alice: Identity) -> None:
    """`-L` and `-W` reach the gateway's SSH server: what the refusals below refuse would work."""
    with forwarding(bastion, "-L", "{port}:" + gateway_address(bastion), identity=alice) as (port, _):
        assert answers(port).startswith(b"SSH-2.0-")
    with started(bastion.ssh_command(options=("-W", gateway_address(bastion)), identity=alice)) as pipe:
        assert pipe.stdout is not None
        assert pipe.stdout.read(8) == b"SSH-2.0-"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1"])
def test_a_forward_to_anything_else_is_refused(bastion: Bastion, alice: Identity, host: str) -> None:
    """Nobody is connected, whatever the address is written like; sshd's log has the target."""
    before = bastion.log()
    with bystander() as beside:
        target = f"{host}:{beside.getsockname()[1]}"
        done = bastion.ssh(options=("-W", target), identity=alice)
        assert (done.returncode, done.stdout) == (255, b"")
        assert b"administratively prohibited" in done.stderr
        with forwarding(bastion, "-L", "{port}:" + target, identity=alice) as (port, _):
            assert answers(port) == b""
        assert not bastion.jump("true", options=("-o", f"Port={target.partition(':')[2]}"), identity=alice).stdout
    name, _, port_asked = target.partition(":")
    assert bastion.find_log(rf"request from .* to connect to host {name} port {port_asked}, but .*denied", before)


@pytest.mark.parametrize("host", ["localhost", "127.1", "0.0.0.0", "[::1]"])
def test_the_gateways_port_by_another_name_is_refused(bastion: Bastion, alice: Identity, host: str) -> None:
    """What counts is what the client asked for, as text; only the configured spelling is the gateway."""
    done = bastion.ssh(options=("-W", f"{host}:{bastion.gateway.ssh_port}"), identity=alice)
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"administratively prohibited" in done.stderr


def test_dynamic_forwards_reach_the_gateway_only(bastion: Bastion, alice: Identity) -> None:
    """`-D`: a SOCKS proxy is as many forwards as it is asked for, each of them checked."""
    with bystander() as beside, forwarding(bastion, "-D", "{port}", identity=alice) as (port, _):
        assert through_socks(port, "127.0.0.1", beside.getsockname()[1]) == b""
        assert through_socks(port, "127.0.0.1", bastion.gateway.ssh_port).startswith(b"SSH-2.0-")


def test_nothing_listens_on_the_bastion(bastion: Bastion, alice: Identity) -> None:
    """`-R`, for a port and for a Unix socket, is refused by sshd; no listener is there."""
    port, path = free_port(), bastion.directory / "client" / "listener"
    with bystander() as beside:
        home = f"127.0.0.1:{beside.getsockname()[1]}"
        for forward in (f"{port}:{home}", f"*:{port}:{home}", f"{path}:{home}", f"{port}"):
            done = bastion.ssh(options=("-v", "-N", "-o", "ExitOnForwardFailure=yes", "-R", forward), identity=alice)
            assert done.returncode == 255
            assert re.search(rb"remote port forwarding failed for listen (port|path)", done.stderr), done.stderr
            assert re.search(rb"Remote: Server has disabled (port|streamlocal) forwarding", done.stderr)
            assert not listening(port)
            assert not path.exists()


def test_unix_sockets_on_the_bastion_are_out_of_reach(bastion: Bastion, alice: Identity) -> None:
    """`-L PORT:/PATH` reaches no socket, the daemon's own least of all; sshd's log has the path."""
    path, before = bastion.directory / "client" / "service", bastion.log()
    with bystander(path):
        for target in (path, bastion.socket):
            with forwarding(bastion, "-L", f"{{port}}:{target}", identity=alice) as (port, client):
                assert answers(port) == b""
                client.kill()
                assert b"open failed" in client.communicate()[1]
            assert bastion.find_log(rf"refused streamlocal port forward: .*, target {target}", before)


def test_an_agent_is_not_forwarded(bastion: Bastion, alice: Identity, tmp_path: Path) -> None:
    """`-A`: the client asks for it, and the session has no agent of the client's."""
    with agent(tmp_path, bastion.workshop.key("admin").key) as path:
        options = ("-v", "-o", "ForwardAgent=yes", "-o", "IdentityAgent=SSH_AUTH_SOCK")
        said = rb"Requesting (authentication )?agent forwarding"
        session_without(bastion, alice, options, b"SSH_AUTH_SOCK=", said, SSH_AUTH_SOCK=str(path))


def test_displays_are_not_forwarded(bastion: Bastion, alice: Identity) -> None:
    """`-Y`: the session has no display, and sshd tells the client so."""
    # No xauth of the machine's, which waits for a lock where it cannot make one.
    options = ("-v", "-Y", "-o", "XAuthLocation=/nonexistent")
    session_without(bastion, alice, options, b"DISPLAY=", rb"X11 forwarding request failed", DISPLAY=":17")


def session_without(
    bastion: Bastion, identity: Identity, options: tuple[str, ...], variable: bytes, said: bytes, **env: str
) -> None:
    """A session works, and nothing that sshd has started for it has the variable from it; the client is told."""
    before = hooks(bastion)
    argv = bastion.ssh_command("mybash", identity=identity, options=options)
    with started(argv, env={**os.environ, **env}) as client:
        hook = new_one(lambda: hooks(bastion), before)
        environment = Path(f"/proc/{hook.pid}/environ").read_bytes()
        out, err = client.communicate(b"echo here\n", timeout=30)
    assert b"SSH_CONNECTION=" in environment
    assert b"\0" + variable not in b"\0" + environment
    assert out == b"here\n"
    assert re.search(said, err), err
    assert re.search(rb"Remote: principals: key options: permitopen port-forwarding pty\r?\n", err), err


def test_a_tunnel_is_refused(bastion: Bastion, alice: Identity) -> None:
    """`-w`: no network device, on layer 3 nor on layer 2. ssh(1) wants one of its own first, so asyncssh asks here."""

    async def ask() -> None:
        async with asyncssh.connect(
            "127.0.0.1",
            bastion.port,
            username=bastion.account,
            client_keys=[(str(alice.key), str(alice.certificate))],
            known_hosts=None,
            agent_path=None,
        ) as connection:
            for opened in (connection.open_tun, connection.open_tap):
                with pytest.raises(asyncssh.ChannelOpenError):
                    await opened()

    asyncio.run(ask())


@contextmanager
def forwarding(
    bastion: Bastion, kind: str, forward: str, *, identity: Identity
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A client with a forward and nothing else, listening on a local port: ``{port}`` in ``forward``."""
    port = free_port()
    options = ("-N", kind, f"127.0.0.1:{forward.format(port=port)}")
    with started(bastion.ssh_command(options=options, identity=identity)) as client:
        wait_for(lambda: client.poll() is not None or listening(port), what="the forward")
        yield port, client


def through_socks(port: int, host: str, target: int) -> bytes:
    """The first bytes that a server says through a SOCKS 5 proxy (RFC 1928)."""
    with socket.create_connection(("127.0.0.1", port), 10) as proxy:
        proxy.sendall(b"\5\1\0")
        assert proxy.recv(2) == b"\5\0"
        proxy.sendall(b"\5\1\0\1" + socket.inet_aton(host) + target.to_bytes(2, "big"))
        said = b""
        # The proxy's answer has ten bytes; an answer that refuses has them too, and then the end.
        while len(said) < 18:
            more = proxy.recv(64)
            if not more:
                break
            said += more
        return said[10:]
