"""``./dev fuzz TARGET|all [--seconds N]``, or ``./dev fuzz TARGET --input FILE`` to try what has failed again."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hoopjump.dev.programs import CHECKOUT
from tests.fuzz.targets import TARGETS

KEPT = CHECKOUT / ".cache" / "fuzz"
SLOWEST = 20  # seconds that one input may take: far above what any does, on a machine that is busy too
MEMORY = 2048  # MB


def fuzz(name: str, seconds: int) -> bool:
    """Run one target and say what came of it; whether all was well. Its output is in ``.cache/fuzz/NAME.log``."""
    before = set(KEPT.glob(f"{name}-*"))
    log = KEPT / f"{name}.log"
    limits = [f"-max_total_time={seconds}", f"-timeout={SLOWEST}", f"-rss_limit_mb={MEMORY}"]
    options = [*limits, f"-artifact_prefix={KEPT / name}-", "-print_final_stats=1"]
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.one", name, *options],
            check=False,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    said = log.read_text(errors="replace")
    runs = re.findall(r"number_of_executed_units: (\d+)", said)
    covered = re.findall(r" cov: (\d+) ", said)
    print(f"{name}: {runs[-1] if runs else '?'} inputs, {covered[-1] if covered else '?'} edges", flush=True)
    found = sorted(set(KEPT.glob(f"{name}-*")) - before)
    for path in found:
        print(f"{name}: FAILED; again: ./dev fuzz {name} --input {path.relative_to(CHECKOUT)}", flush=True)
    if done.returncode and not found:
        print(f"{name}: FAILED with status {done.returncode}; see {log.relative_to(CHECKOUT)}", flush=True)
    return done.returncode == 0


def main() -> int:
    """Run the targets asked for, two at a time."""
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=int, default=60, help="how long each runs (default: 60)")
    parser.add_argument("--input", type=Path, help="try this file only, and show how it fails")
    arguments = parser.parse_args()
    if arguments.input:
        if arguments.target == "all":
            parser.error("--input wants one target")
        command = [sys.executable, "-m", "tests.fuzz.one", arguments.target, str(arguments.input.resolve())]
        return min(1, subprocess.run(command, check=False, cwd=CHECKOUT).returncode)
    names = list(TARGETS) if arguments.target == "all" else [arguments.target]
    KEPT.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        fine = list(pool.map(lambda name: fuzz(name, arguments.seconds), names))
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
