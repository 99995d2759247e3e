"""How long sessions take, and how much they move, beside an ssh to the gateway in a ForceCommand."""

from __future__ import annotations

import os
import subprocess
import threading
from functools import partial
from pathlib import Path

from hoopjump.dev.bench.stand import ROUNDS, Stand, run
from hoopjump.dev.bench.table import Row, interleave, row, rows_of
from hoopjump.dev.gateway import RoleSpec, UserSpec

GIB = 1 << 30
TRANSFERS = int(os.environ.get("HOOPJUMP_BENCH_TRANSFERS", "5"))


def adhoc() -> tuple[list[Row], str]:
    """``ssh bastion mybash true``: with the client's input at its end, and with an input that stays open."""
    with Stand() as stand:
        identity = stand.certificate()
        nested, ours = stand.ports["nested"], stand.port
        commands = {
            name: stand.command(port, "mybash", "true", identity=identity, options=options)
            for name, port, options in (
                ("nested, input open", nested, ()),
                ("ours, input open", ours, ()),
                ("ours, input open, HOOPJUMP_STDIN=none", ours, ("-o", "SetEnv=HOOPJUMP_STDIN=none")),
                ("nested, input at its end", nested, ()),
                ("ours, input at its end", ours, ()),
            )
        }
        stand.known_ports()

        def client(name: str) -> None:
            if name.endswith("at its end"):
                run(commands[name], stdin=subprocess.DEVNULL)
                return
            ours_end, theirs = os.pipe()
            try:
                run(commands[name], stdin=ours_end)
            finally:
                os.close(ours_end)
                os.close(theirs)

        times = interleave({name: partial(client, name) for name in commands}, ROUNDS)
        opened = rows_of({name: runs for name, runs in times.items() if "open" in name})
        ended = rows_of({name: runs for name, runs in times.items() if "at its end" in name})
        return opened + ended, (
            f"{ROUNDS} runs each, interleaved; ratios to nested with the same input; goal <= 0.9. "
            "An open input costs the gateway's 100 ms nested, and ours session.stdin_wait unless HOOPJUMP_STDIN=none"
        )


def terminal() -> tuple[list[Row], str]:
    """A terminal session from its start to its end (``exit`` is typed ahead)."""
    with Stand() as stand:
        identity = stand.certificate()
        ports = {"nested": stand.ports["nested"], "ours": stand.port}
        commands = {name: stand.command(port, "mybash", identity=identity, tty=True) for name, port in ports.items()}
        stand.known_ports()
        variants = {name: partial(run, argv, input=b"exit\n") for name, argv in commands.items()}
        return rows_of(interleave(variants, ROUNDS)), f"{ROUNDS} runs each, interleaved; goal <= 1.10"


def throughput() -> tuple[list[Row], str]:
    """1 GiB from a type-ssh role (nothing of ours in its way) and from a command-line role (spooled)."""
    account = "hoop-agent" if os.geteuid() == 0 else subprocess.getoutput("id -un")  # noqa: S605, S607 - constant
    with Stand(
        target=True,
        mapping=("principal", "subject"),
        users=(UserSpec(f"{account}@example.com", subject=account),),
        roles=(RoleSpec.ssh("web1", host="127.0.0.1", port=1, user=account, key="-"),),
    ) as stand:
        identity = stand.certificate(principals=(account,))
        size = str(GIB)
        commands = {
            "nested": stand.command(stand.ports["nested"], "web1", "head", "-c", size, "/dev/zero", identity=identity),
            "ours, type ssh": stand.command(stand.port, "web1", "head", "-c", size, "/dev/zero", identity=identity),
            "ours, spooled": stand.command(stand.port, "mybash", "head", "-c", size, "/dev/zero", identity=identity),
        }
        stand.known_ports()
        spool = _SpoolSize()

        def fetch(name: str) -> None:
            with spool if "spooled" in name else _NoSpool():
                with subprocess.Popen(commands[name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as client:
                    assert client.stdout is not None
                    received = 0
                    while piece := client.stdout.read(1 << 20):
                        received += len(piece)
                if received != GIB or client.returncode != 0:
                    raise RuntimeError(f"{name}: {received} bytes, exit {client.returncode}")

        times = interleave({name: partial(fetch, name) for name in commands}, TRANSFERS, warm_up=1)
        base = row("nested", times["nested"]).median_ms
        rows = []
        for name, runs in times.items():
            found = row(name, runs)
            figures = {"mb_per_s": GIB / 1e6 / (found.median_ms / 1000)}
            if "spooled" in name:
                figures["spool_peak_mb"] = spool.peak / 1e6
            # Throughput: more is better, so the ratio is that of the speeds.
            rows.append(Row(name, found.median_ms, found.p95_ms, base / found.median_ms, figures))
        return rows, f"{TRANSFERS} runs each, interleaved; ratio of speeds; goals >= 0.98 (type ssh), >= 0.8 (spooled)"


class _NoSpool:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class _SpoolSize:
    """The most disk or memory that the unlinked output files of a running hook have taken, in bytes."""

    def __init__(self) -> None:
        self.peak = 0

    def __enter__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            held: dict[tuple[int, int], int] = {}
            for process in Path("/proc").iterdir():
                if not process.name.isdigit():
                    continue
                try:
                    if b"hook\0session" not in (process / "cmdline").read_bytes():
                        continue
                    for descriptor in (process / "fd").iterdir():
                        if "(deleted)" in str(descriptor.readlink()):
                            status = descriptor.stat()
                            held[status.st_dev, status.st_ino] = status.st_blocks * 512
                except OSError:
                    continue
            self.peak = max(self.peak, sum(held.values()))
