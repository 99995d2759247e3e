"""What the daemon costs: memory, idle and for each live login, and the time of a decision."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from pathlib import Path

import asyncssh

from hoopjump.daemon.wire import encode
from hoopjump.dev import accounts
from hoopjump.dev.bench.stand import Stand
from hoopjump.dev.bench.table import Row, row
from hoopjump.dev.services import wait_for

LOGINS = int(os.environ.get("HOOPJUMP_BENCH_LOGINS", "1000"))
DECISIONS = 2000
_AT_ONCE = 20


def daemon() -> tuple[list[Row], str]:
    """Resident memory with no login and with many live ones, and warm decisions through the socket."""
    with Stand() as stand:
        identity = stand.certificate()
        stand.ssh("true", identity=identity)
        times = _decisions(stand, (identity.certificate or identity.public).read_text().split()[1])
        idle = _resident(stand.daemon.pid)
        live = asyncio.run(_live_logins(stand, str(identity.key)))
        found = row("warm decision", times)
        p99 = sorted(times)[int(len(times) * 0.99)]
        return [
            Row(found.variant, found.median_ms, found.p95_ms, 1.0, {"p99_ms": p99}),
            Row("idle", 0.0, 0.0, 1.0, {"resident_kb": idle}),
            Row(
                f"{LOGINS} live logins",
                0.0,
                0.0,
                live / idle,
                {"resident_kb": live, "kb_per_login": (live - idle) / LOGINS},
            ),
        ], f"{DECISIONS} decisions one after the other on one socket each; goal <= 50 kB a login"


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def _decisions(stand: Stand, certificate: str) -> list[float]:
    """Ask as the hook does, from a process of the hook's user whose parent is root's."""
    question = {"verb": "principals", "account": stand.account, "key-id": "x", "serial": "1", "ca": "x"}
    frame = encode([*question.items(), ("certificate", certificate)])
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if not stand.place.rootless:
                uid, gid = accounts.ids(stand.place.hook_user)
                os.setgroups([])
                os.setgid(gid)
                os.setuid(uid)
            times = [_ask(str(stand.socket), frame) for _ in range(DECISIONS)]
            with os.fdopen(writer, "w") as report:
                report.write(" ".join(f"{each:.4f}" for each in times))
            status = 0
        except Exception as error:  # the child must not go on as a second parent
            print(f"bench: {error}", file=sys.stderr)
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as report:
        text = report.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError("the decisions could not be measured")
    return [float(word) for word in text.split()]


def _ask(path: str, frame: bytes) -> float:
    begin = time.perf_counter()
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        link.sendall(frame)
        answer = b""
        while piece := link.recv(65536):
            answer += piece
    if b"outcome,4:line" not in answer:
        raise RuntimeError(repr(answer))
    return (time.perf_counter() - begin) * 1000


async def _live_logins(stand: Stand, key: str) -> float:
    """The daemon's memory while many connections are logged in; each is a real one through sshd, without session."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def connect() -> asyncssh.SSHClientConnection:
        async with gate:
            return await asyncssh.connect(
                "127.0.0.1",
                stand.port,
                username=stand.account,
                client_keys=[(key, f"{key}-cert.pub")],
                known_hosts=None,
                config=None,
                agent_path=None,
                login_timeout=120,
            )

    connections = await asyncio.gather(*(connect() for _ in range(LOGINS)))
    try:
        table = stand.directory / "run" / "logins"
        await asyncio.to_thread(wait_for, lambda: len(list(table.iterdir())) >= LOGINS, 60, "all logins in the table")
        return _resident(stand.daemon.pid)
    finally:
        for connection in connections:
            connection.abort()
