"""``python -m hoopjump.dev demo [--keep]``; ``./dev demo`` sets up what it needs and starts it."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from hoopjump.dev import accounts, demo, programs
from hoopjump.dev.bench import main as bench
from hoopjump.dev.databases import DatabaseError
from hoopjump.dev.services import ServiceError


def main() -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="./dev", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("demo", help="see logins go through a private sshd into an embedded gateway")
    shown.add_argument("--keep", action="store_true", help="leave it up afterwards, with an ssh configuration to use")
    measured = commands.add_parser("bench", help="measure; without a name everything")
    measured.add_argument("names", nargs="*", metavar="NAME", help="login, storm, adhoc, terminal, throughput, daemon")
    measured.add_argument("--json", action="store_true", help="one object on a line for each measurement")
    arguments = parser.parse_args()
    # However the demonstration is ended, it ends what it has started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        if os.geteuid() == 0:
            accounts.enter(programs.CHECKOUT)
        if arguments.command == "bench":
            return bench.run(arguments.names, as_json=arguments.json)
        return demo.run(keep=arguments.keep)
    except (accounts.PrivateViewError, programs.ProgramMissingError, ServiceError, DatabaseError) as error:
        print(f"dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
