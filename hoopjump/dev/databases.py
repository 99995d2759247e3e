"""Private database servers: PostgreSQL and MariaDB on loopback, in a directory that goes when they end.

Neither runs as root; root gives them another uid. TCP lets in two users without power, ``demo`` (no password) and
``noop`` (password ``noop``, or none), which is what clients of a gateway's forward say; the superuser has the Unix
socket only, in a directory closed to others.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from hoopjump.dev import programs
from hoopjump.dev.services import free_port

START_LIMIT = 60.0
DATABASE = "demo"
USER = "demo"

_HBA = f"""\
local all all trust
host {DATABASE} {USER},noop 127.0.0.1/32 trust
"""
_POSTGRES_SQL = f"""\
CREATE ROLE {USER} LOGIN;
CREATE ROLE noop LOGIN IN ROLE {USER};
CREATE DATABASE {DATABASE} OWNER {USER};
"""
_MYSQL_SQL = f"""\
DELETE FROM mysql.global_priv WHERE Host <> 'localhost' OR User = '';
FLUSH PRIVILEGES;
CREATE DATABASE {DATABASE};
CREATE USER '{USER}'@'127.0.0.1';
CREATE USER 'noop'@'127.0.0.1' IDENTIFIED BY 'noop';
GRANT ALL ON {DATABASE}.* TO '{USER}'@'127.0.0.1';
GRANT ALL ON {DATABASE}.* TO 'noop'@'127.0.0.1';
"""  # noqa: S608 - constants of this module


class DatabaseError(Exception):
    """A server did not start; the message has the end of its log."""


class _Server(ABC):
    """A server process of an unprivileged uid, in a directory of its own."""

    host = "127.0.0.1"
    user = USER
    database = DATABASE
    _accounts: ClassVar[tuple[str, ...]]
    _end = signal.SIGTERM

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="hoopjump-db-"))
        self.port = free_port()
        self._account = _unprivileged(self._accounts) if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        if self._account is not None:
            os.chown(self.directory, self._account.pw_uid, self._account.pw_gid)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Make the database, start the server, wait until it answers."""

    def stop(self) -> None:
        """End the server, and remove its directory."""
        if self._process is not None:
            self._process.send_signal(self._end)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _spawn(self, *command: str | Path) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=self._environment(),
                user=self._account.pw_uid if self._account else None,
                group=self._account.pw_gid if self._account else None,
                extra_groups=[] if self._account else None,
            )

    def _run(self, *command: str | Path) -> None:
        if self._spawn(*command).wait() != 0:
            raise DatabaseError(f"{Path(str(command[0])).name} failed: {self._end_of_log()}")

    def _environment(self) -> dict[str, str]:
        libraries = sorted(str(path) for path in programs.UNPACKED.glob("usr/lib/*-linux-*"))
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.directory), "LC_ALL": "C.UTF-8"}
        return environment | ({"LD_LIBRARY_PATH": ":".join(libraries)} if libraries else {})

    def _end_of_log(self) -> str:
        log = self.directory / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    @abstractmethod
    def _query(self, sql: str) -> bool:
        """Run SQL as the superuser; False when the server does not answer yet."""

    def _wait(self) -> None:
        limit = time.monotonic() + START_LIMIT
        while not self._query("SELECT 1"):
            if self._process is None or self._process.poll() is not None or time.monotonic() > limit:
                raise DatabaseError(f"the server did not start: {self._end_of_log()}")
            time.sleep(0.05)


class PostgresServer(_Server):
    """A PostgreSQL server: ``host``, ``port``, ``user``, ``database``, and its Unix socket in ``directory``."""

    _accounts = ("postgres", "nobody")
    # It ends without waiting for its clients.
    _end = signal.SIGINT

    def start(self) -> None:
        """Make a cluster and run it, without fsync."""
        data = self.directory / "data"
        self._run(
            _program("initdb", "usr/lib/postgresql/*/bin/initdb"),
            "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-locale", "--no-sync",
        )  # fmt: skip
        (data / "pg_hba.conf").write_text(_HBA)
        self._process = self._spawn(
            _program("postgres", "usr/lib/postgresql/*/bin/postgres"),
            "-D", data, "-k", self.directory, "-h", self.host, "-p", str(self.port),
            "-c", "fsync=off", "-c", "jit=off", "-c", "max_connections=200",
        )  # fmt: skip
        self._wait()
        for statement in _POSTGRES_SQL.splitlines():
            if not self._query(statement):
                raise DatabaseError(f"{statement} {self._end_of_log()}")

    def _query(self, sql: str) -> bool:
        command: list[str | Path] = [
            "psql", "-X", "-q", "-h", self.directory, "-p", str(self.port), "-U", "postgres", "-c", sql, "postgres",
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


class MysqlServer(_Server):
    """A MariaDB server: ``host``, ``port``, ``user``, ``database``, and its Unix socket ``directory``/mysql.sock."""

    _accounts = ("mysql", "nobody")

    def start(self) -> None:
        """Make the system tables and run it."""
        install = _program("mariadb-install-db", "usr/bin/mariadb-install-db")
        server = _program("mariadbd", "usr/sbin/mariadbd")
        base = server.parents[1]
        data = self.directory / "data"
        settings = ["--no-defaults", f"--datadir={data}", f"--basedir={base}"]
        self._run(
            install, *settings, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"
        )
        # Run before the first client is let in: the installation leaves a superuser that TCP could use.
        accounts = self.directory / "accounts.sql"
        accounts.write_text(_MYSQL_SQL)
        self._process = self._spawn(
            server,
            *settings,
            f"--init-file={accounts}",
            f"--socket={self.directory / 'mysql.sock'}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            f"--pid-file={self.directory / 'pid'}",
            "--innodb-flush-log-at-trx-commit=0",
            "--skip-name-resolve",
        )
        self._wait()

    def _query(self, sql: str) -> bool:
        command: list[str | Path] = ["mariadb", "--no-defaults", f"--socket={self.directory / 'mysql.sock'}", "-uroot"]
        done = subprocess.run(command, input=sql.encode(), capture_output=True, check=False)
        return done.returncode == 0


def _program(name: str, pattern: str) -> Path:
    return programs.reachable(programs.find(name, pattern))


def _unprivileged(names: tuple[str, ...]) -> pwd.struct_passwd:
    for name in names:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise DatabaseError(f"there is no account to run a database as: {', '.join(names)}")
