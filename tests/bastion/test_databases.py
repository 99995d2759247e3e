"""Databases both ways: a client of their own through a forward, and SQL on standard input through ForceCommand."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from hoopjump.dev.bastion import Bastion
from hoopjump.dev.databases import MysqlServer, PostgresServer
from hoopjump.dev.services import free_port, listening, wait_for


@contextmanager
def forward(bastion: Bastion, role: str, port: int) -> Iterator[int]:
    """`ssh -N -L LOCAL:ROLE:PORT gateway` through the bastion; gives the local port."""
    local = free_port()
    options = ("-J", "bastion", "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{local}:{role}:{port}")
    client = subprocess.Popen(bastion.ssh_command(options=options, host="gateway"), stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: listening(local), what="the forward")
        yield local
    finally:
        client.terminate()
        client.wait()


def client(*argv: str) -> str:
    """What a database client prints; it must succeed."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_psql_through_a_forward(bastion: Bastion, pgdemo: PostgresServer) -> None:
    """The client psql speaks to the role's server, again and again on one forward."""
    with forward(bastion, "pgdemo", 5432) as port:
        for number in range(3):
            command = ("psql", "-X", "-At", "-h", "127.0.0.1", "-p", str(port), "-U", "noop", pgdemo.database)
            assert client(*command, "-c", f"SELECT {number} + 1") == str(number + 1)


def test_mysql_through_a_forward(bastion: Bastion, mydemo: MysqlServer) -> None:
    """The MySQL client does, too."""
    with forward(bastion, "mydemo", 3306) as port:
        command = ("mariadb", "--no-defaults", "-h127.0.0.1", f"-P{port}", "-unoop", "-pnoop", "-N", mydemo.database)
        assert client(*command, "-e", "SELECT 6 * 7") == "42"


def test_sql_on_standard_input(bastion: Bastion, pgdemo: PostgresServer, mydemo: MysqlServer) -> None:
    """`echo SQL | ssh bastion ROLE` runs it at the role's own client."""
    done = bastion.ssh("pgdemo", input=b"SELECT 40 + 2;\n")
    assert (done.returncode, b"42" in done.stdout.split()) == (0, True), done.stderr
    done = bastion.ssh("mydemo", input=b"SELECT 40 + 2;\n")
    assert (done.returncode, b"42" in done.stdout.split()) == (0, True), done.stderr


def test_a_certificate_without_forwarding_opens_no_forward(bastion: Bastion) -> None:
    """Without permit-port-forwarding sshd opens no channel to the gateway."""
    identity = bastion.certificate("alice", extensions=("permit-pty",))
    done = bastion.ssh(options=("-W", f"127.0.0.1:{bastion.gateway.ssh_port}"), identity=identity)
    assert done.returncode == 255
    assert b"administratively prohibited" in done.stderr
