"""Database roles: the client as the role's command, and forwards that real clients use."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hoopjump.dev import programs
from hoopjump.dev.databases import MysqlServer, PostgresServer
from hoopjump.dev.gateway import RoleSpec, Setup, UserSpec, in_thread
from hoopjump.dev.services import free_port, wait_for
from tests.conftest import REQUIRED
from tests.dev.conftest import Scene
from tests.dev.yard import Authority, Client, without_farewell


@pytest.fixture(scope="module")
def databases() -> Iterator[tuple[PostgresServer, MysqlServer]]:
    """Both servers."""
    try:
        programs.find("postgres", "usr/lib/postgresql/*/bin/postgres")
        programs.find("mariadbd", "usr/sbin/mariadbd")
        programs.find("psql")
        programs.find("mariadb")
    except programs.ProgramMissingError as error:
        if REQUIRED:
            pytest.fail(str(error))
        pytest.skip(str(error))
    with PostgresServer() as postgres, MysqlServer() as mysql:
        yield postgres, mysql


@pytest.fixture
def scene(databases: tuple[PostgresServer, MysqlServer], tmp_path: Path) -> Iterator[Scene]:
    """A gateway with the roles pgdemo, pg2 (nowhere) and mydemo."""
    postgres, mysql = databases
    at = {"host": "127.0.0.1", "user": "demo", "database": "demo"}
    roles = (
        RoleSpec.postgres("pgdemo", port=postgres.port, **at),
        RoleSpec.postgres("pg2", port=1, **at),
        RoleSpec.mysql("mydemo", port=mysql.port, **at),
        RoleSpec("mybash"),
    )
    authority = Authority(tmp_path)
    with in_thread(Setup((UserSpec("alice@x.io"),), roles, (authority.line,))) as (gateway, ready):
        yield Scene(gateway, authority, Client(ready, tmp_path), authority.sign())


@pytest.fixture
def forward(scene: Scene) -> Iterator[dict[str, int]]:
    """Local ports that an ssh forwards, each on a connection of its own, to pgdemo and mydemo; the port is ignored."""
    clients = []
    ports = {}
    for role in ("pgdemo", "mydemo"):
        ports[role] = free_port()
        options = ("-N", "-L", f"127.0.0.1:{ports[role]}:{role}:9")
        argv = scene.client.command(scene.key, options=options)
        clients.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_for(lambda port=ports[role]: listens(port), what="the forward")  # type: ignore[misc]
    yield ports
    for client in clients:
        client.kill()
        client.wait()


def listens(port: int) -> bool:
    """Whether a port is bound; asked of the kernel, since a connection would open a channel."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return wanted in Path("/proc/net/tcp").read_text()


def psql(port: int, sql: str) -> subprocess.CompletedProcess[str]:
    """A query through a forward, as clients of a gateway ask it."""
    argv = ["psql", "-XAtq", "-h", "127.0.0.1", "-p", str(port), "-U", "noop", "-c", sql, "demo"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def test_psql_is_the_roles_command(scene: Scene) -> None:
    """SQL comes as the command or as input; a failing statement is exit 3."""
    done = scene.client.run(scene.key, "pgdemo", "SELECT 6*7 AS answer")
    assert (done.returncode, done.stdout) == (0, b"answer\n42\n(1 row)\n")
    done = scene.client.run(scene.key, "pgdemo", stdin=b"SELECT current_user;")
    assert done.stdout == b"current_user\ndemo\n(1 row)\n"
    done = scene.client.run(scene.key, "pgdemo", "SELECT nothing;")
    assert (done.returncode, done.stdout) == (3, b"")
    assert [row.exit_code for row in scene.gateway.store.sessions] == [0, 0, 3]
    assert {row.verb for row in scene.gateway.store.sessions} == {"exec"}


def test_mysql_is_the_roles_command(scene: Scene) -> None:
    """The same with MariaDB's client."""
    done = scene.client.run(scene.key, "mydemo", "SELECT 6*7 AS answer")
    assert (done.returncode, done.stdout) == (0, b"answer\n42\n")


def test_psql_through_a_forward(scene: Scene, forward: dict[str, int]) -> None:
    """Several channels on one connection, one row of verb connect."""
    for number in range(3):
        assert psql(forward["pgdemo"], f"SELECT {number}").stdout == f"{number}\n"
    rows = [row for row in scene.gateway.store.sessions if row.connection == "pgdemo"]
    assert [(row.verb, row.status) for row in rows] == [("connect", "open")]


def test_mysql_through_a_forward(scene: Scene, forward: dict[str, int]) -> None:
    """Its end takes the whole SSH connection with it."""
    argv = [
        "mariadb",
        "--no-defaults",
        "-h127.0.0.1",
        f"-P{forward['mydemo']}",
        "-unoop",
        "-pnoop",
        "-N",
        "-e",
        "SELECT 6*7",
        "demo",
    ]
    assert subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False).stdout == "42\n"
    wait_for(lambda: not listens(forward["mydemo"]), what="ssh to end with its connection")
    row = next(row for row in scene.gateway.store.sessions if row.connection == "mydemo")
    wait_for(lambda: row.status == "done", what="the row to be closed")


@pytest.mark.parametrize(
    ("role", "text"),
    [
        ("nosuch", b'hoop: connection "nosuch" not found'),
        ("mybash", b'hoop: connection "mybash" not found or not accessible'),
    ],
)
def test_refused_forwards_name_the_role(scene: Scene, role: str, text: bytes) -> None:
    """Unknown roles, and such as are no databases."""
    done = scene.client.run(scene.key, options=("-W", f"{role}:5432"), stdin=b"")
    assert done.returncode == 255
    assert text in done.stderr or b"closed by remote host" in done.stderr


def test_certificate_without_permit_port_forwarding_has_no_forwards(scene: Scene) -> None:
    """And the open is answered with the reason."""
    key = scene.authority.sign("alice@x.io", "no-port-forwarding")
    done = scene.client.run(key, options=("-W", "pgdemo:5432"), stdin=b"")
    assert b"administratively prohibited: hoop: cert does not permit port forwarding" in done.stderr


def test_first_forward_fixes_the_server_for_the_connection(scene: Scene, tmp_path: Path) -> None:
    """A later forward to another role is served by the first one's."""
    control = tmp_path / "mux"
    ports = []
    for _ in range(2):
        ports.append(free_port())
    options = (
        "-N",
        "-M",
        "-S",
        str(control),
        "-L",
        f"127.0.0.1:{ports[0]}:pgdemo:1",
        "-L",
        f"127.0.0.1:{ports[1]}:pg2:1",
    )
    argv = scene.client.command(scene.key, options=options)
    client = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: listens(ports[0]) and listens(ports[1]), what="the forwards")
    assert psql(ports[0], "SELECT 1").stdout == "1\n"
    assert psql(ports[1], "SELECT 2").stdout == "2\n"
    client.kill()
    client.wait()


def test_unreachable_database_is_not_accessible(scene: Scene) -> None:
    """Nothing listens there."""
    done = scene.client.run(scene.key, options=("-W", "pg2:5432"), stdin=b"")
    assert done.returncode == 255
    assert without_farewell(done.stderr) != b""
