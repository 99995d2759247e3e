"""What releases of OpenSSH do differently, and hoopjump counts on."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from hoopjump.dev import programs
from hoopjump.dev.bastion import Bastion
from hoopjump.dev.identities import EXPIRED
from hoopjump.sshd.versions import Version, installed
from tests.bastion.below import inner_clients, new_one
from tests.bastion.proof import gateway_address, hoopjump
from tests.bastion.ways import started


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
