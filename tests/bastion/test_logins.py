"""Logins as sshd has them: opened without a session too, cut with all their channels when their time is over."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable

import pytest

from hoopjump.daemon.processes import alive
from hoopjump.dev import programs
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import EXPIRED
from hoopjump.dev.services import free_port, listening, wait_for
from hoopjump.sshd.versions import Version, installed
from tests.bastion.below import inner_clients, new_one
from tests.bastion.proof import events_of, gateway_address, hoopjump
from tests.bastion.ways import started


def test_a_login_without_a_session_is_opened_and_closed(bastion: Bastion) -> None:
    """`ssh -N` runs nothing on the bastion; that it is there is seen all the same, and that it ends."""
    identity = bastion.certificate("bob")
    with started(bastion.ssh_command(options=("-N",), identity=identity)) as client:
        opened = wait_for(lambda: [e for e in events_of(bastion, identity) if e["kind"] == "admitted"], 10)[-1]
        bastion.wait_for_event(kind="login-opened", login=opened["login"])
        assert client.poll() is None
        assert not [e for e in bastion.audit() if e["kind"] == "login-closed" and e["login"] == opened["login"]]
    bastion.wait_for_event(kind="login-closed", login=opened["login"])


def test_the_end_of_a_certificate_ends_its_login(bastion: Bastion) -> None:
    """A session and a forward of one login, at work: both end with the certificate, the inner ssh too."""
    identity = bastion.certificate("bob", valid="-1m:+10s")
    port, clients = free_port(), inner_clients(bastion)
    forward = ("-L", f"127.0.0.1:{port}:{gateway_address(bastion)}")
    argv = bastion.ssh_command("mybash", "sleep 1000", options=forward, identity=identity)
    with started(argv) as client:
        wait_for(lambda: client.poll() is not None or listening(port), what="the forward")
        with socket.create_connection(("127.0.0.1", port), 10) as forwarded:
            forwarded.settimeout(30)
            assert forwarded.recv(4) == b"SSH-"
            inner = new_one(lambda: inner_clients(bastion), clients)
            while forwarded.recv(4096):
                pass
        assert client.wait(10) == 255
        wait_for(lambda: not alive(inner), 2, "the end of the inner ssh")
    end = events_of(bastion, identity)[-1]["certificate"]["valid_before"]
    cut = bastion.wait_for_event(kind="login-cut", user="bob@example.com", deadline=end)
    assert cut["reason"] == "login-ended"
    assert time.time() >= end
    bastion.wait_for_event(kind="login-closed", login=cut["login"])


def test_forwards_to_the_gateway_are_in_sshds_log(bastion: Bastion) -> None:
    """From 8.5 on sshd names the target of each forward that it makes; older ones have only the login."""
    before = bastion.log()
    host, port = bastion.gateway.ready.ssh_host, bastion.gateway.ssh_port
    with started(bastion.ssh_command(options=("-W", gateway_address(bastion)))) as client:
        assert client.stdout is not None
        assert client.stdout.read(4) == b"SSH-"
    if installed(programs.sshd()) >= Version(8, 5):
        assert bastion.find_log(rf"server_request_direct_tcpip.*, target {re.escape(host)} port {port}\b", before)
    else:
        assert bastion.find_log(r"Accepted publickey for .* ED25519-CERT ", before)


def test_an_explanation_costs_the_address_nothing(new_bastion: Callable[..., Bastion]) -> None:
    """Others at one's address who are told why they may not go on, or who are cut, are no harm; denied ones are."""
    if installed(programs.sshd()) < programs.PENALTIES:
        pytest.skip("PerSourcePenalties came with OpenSSH 9.8")
    bastion = new_bastion(sshd_lines=("PerSourcePenaltyExemptList 192.0.2.1",))
    held, good = bastion.certificate("nobody"), bastion.certificate("alice")
    for _ in range(6):
        assert bastion.ssh("mybash", identity=held).returncode == 77
    with started(bastion.ssh_command("mybash", "sleep 1000", identity=good)) as client:
        new_one(lambda: inner_clients(bastion), set())
        opened = bastion.wait_for_event(kind="login-opened", user="alice@example.com")
        hoopjump("logins", "end", opened["login"], config=bastion.config)
        assert client.wait(10) == 255
    bastion.wait_for_event(kind="login-closed", login=opened["login"])
    assert bastion.ssh("mybash", "echo here", identity=good).stdout == b"here\n"
    # A look whether sshd answers is a connection without an attempt; its penalty is too small to count.
    assert not bastion.find_log("penalty of (?!.*without attempting authentication)")
    denied = bastion.certificate("alice", valid=EXPIRED)
    tries = 0
    while not bastion.find_log("drop connection .* penalty: failed authentication"):
        assert bastion.ssh("mybash", identity=denied).returncode == 255
        tries += 1
        assert tries < 10
    assert tries > 3
    assert bastion.ssh("mybash", "echo here", identity=good).returncode == 255
