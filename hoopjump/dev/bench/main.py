"""``./dev bench [NAME...] [--json]``: run the measurements and show them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final

from hoopjump.dev.bench.daemon import daemon
from hoopjump.dev.bench.jwt import jwt
from hoopjump.dev.bench.logins import login, storm
from hoopjump.dev.bench.sessions import adhoc, terminal, throughput
from hoopjump.dev.bench.table import Row, show

BENCHES: Final[dict[str, Callable[[], tuple[list[Row], str]]]] = {
    "login": login,
    "storm": storm,
    "adhoc": adhoc,
    "terminal": terminal,
    "throughput": throughput,
    "daemon": daemon,
    "jwt": jwt,
}


def run(names: Sequence[str], *, as_json: bool) -> int:
    """Run the named measurements, all without a name; returns the exit status."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"dev: no benchmark {unknown[0]!r}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in names or BENCHES:
        rows, note = BENCHES[name]()
        show(name, rows, note, as_json=as_json)
    return 0
