"""A local account that has nothing to do with hoopjump keeps others from logging in: it must not be able to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from hoopjump.dev import accounts
from hoopjump.dev.bastion import Bastion

CROWD = """
import socket, sys
path, question = sys.argv[1], bytes.fromhex(sys.argv[2])
while True:
    with socket.socket(socket.AF_UNIX) as link:
        try:
            if question:
                link.settimeout(3)
                link.connect(path)
                link.sendall(question)
                link.recv(4096)
            else:
                link.setblocking(False)
                link.connect(path)
        except OSError:
            pass
"""
BODY = b"1:v,1:1,4:verb,7:session,5:stage,4:plan,"
SESSION = (len(BODY).to_bytes(4, "big") + BODY).hex()


@contextmanager
def crowd(bastion: Bastion, question: str, number: int) -> Iterator[None]:
    """Processes of an ordinary account that knock at the daemon's socket without end."""
    uid, gid = accounts.ids("bob")
    with ExitStack() as stack:
        for _ in range(number):
            argv = [sys.executable, "-ISc", CROWD, str(bastion.socket), question]
            process = stack.enter_context(subprocess.Popen(argv, user=uid, group=gid, extra_groups=[]))
            stack.callback(process.kill)
        yield


@pytest.mark.parametrize("question", [pytest.param("", id="connecting"), pytest.param(SESSION, id="asking")])
def test_a_crowd_at_the_socket_keeps_nobody_out(bastion: Bastion, private_view: None, question: str) -> None:
    """Connecting in a loop would keep the backlog full and the daemon busy; logins go on, and its log stays small."""
    before, events = len(bastion.daemon_log()), len(bastion.audit())
    with crowd(bastion, question, 1):
        for _ in range(3):
            assert bastion.ssh("mybash", "echo here").stdout == b"here\n"
    assert len(bastion.daemon_log()) - before < 100_000
    assert len([event for event in bastion.audit()[events:] if event.get("reason") == "login-unknown"]) < 40
