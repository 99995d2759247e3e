"""``python -m tests.fuzz.one TARGET [libFuzzer options]``: one target in this process, until it fails or time is up."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hoopjump"], enable_loader_override=False):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run until libFuzzer ends the process; with files among the options only those are tried."""
    name, *options = sys.argv[1:]
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as directory:
        if all(option.startswith("-") for option in options):
            for number, seed in enumerate(target.seeds()):
                Path(directory, f"{number:04}").write_bytes(seed)
            options += [f"-max_len={target.longest}", directory]
        atheris.Setup([sys.argv[0], *options], target.check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
