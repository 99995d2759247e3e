"""How long logins take, one after the other and many at once."""

from __future__ import annotations

import subprocess
import time
from functools import partial

from hoopjump.dev.bench.stand import ROUNDS, Stand, run
from hoopjump.dev.bench.table import Row, interleave, row, rows_of

STORM = 50
STORM_ROUNDS = 4


def login() -> tuple[list[Row], str]:
    """A login whose principals come from a file, and one whose principals come from our hook and daemon."""
    with Stand() as stand:
        identity = stand.certificate()
        config = stand.ssh_command("true", identity=identity)
        stand.known_ports()
        variants = {
            name: partial(run, [*config[:3], "-p", str(port), "bastion", "true"], stdin=subprocess.DEVNULL)
            for name, port in stand.ports.items()
            if name != "nested"
        }
        return rows_of(interleave(variants, ROUNDS)), f"{ROUNDS} runs each of `ssh … true`, interleaved; goal <= 1.10"


def storm() -> tuple[list[Row], str]:
    """Fifty logins at once; the ratio is logins a second to those without our hook."""
    with Stand() as stand:
        identity = stand.certificate()
        config = stand.ssh_command("true", identity=identity)
        stand.known_ports()
        walls: dict[str, list[float]] = {"file": [], "hook": []}
        failed = dict.fromkeys(walls, 0)
        for number in range(STORM_ROUNDS + 1):
            for name in sorted(walls, reverse=bool(number % 2)):
                argv = [*config[:3], "-p", str(stand.ports[name]), "bastion", "true"]
                begin = time.perf_counter()
                clients = [
                    subprocess.Popen(
                        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                    )
                    for _ in range(STORM)
                ]
                statuses = [client.wait() for client in clients]
                if number:  # the first round warms up
                    walls[name].append((time.perf_counter() - begin) * 1000)
                    failed[name] += sum(status != 0 for status in statuses)
        rows = []
        base = 0.0
        for name, runs in walls.items():
            found = row(name, runs)
            rate = STORM * 1000 / found.median_ms
            base = base or rate
            rows.append(
                Row(name, found.median_ms, found.p95_ms, rate / base, {"logins_per_s": rate, "failed": failed[name]})
            )
        return rows, f"{STORM_ROUNDS} rounds of {STORM} logins at once; ratio of logins/s; goal >= 0.87"
