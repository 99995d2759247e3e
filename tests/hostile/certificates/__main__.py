"""``python -m tests.hostile.certificates DIRECTORY``: NAME-cert.pub for each, cas.pub, and expected.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.decision.forge import blob
from tests.hostile.certificates.forge import CLIENT, NOW, PRINCIPAL, TRUSTED, line
from tests.hostile.certificates.table import HOSTILE


def main() -> None:
    """Write all of them."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cas.pub").write_bytes(b"".join(line(blob(ca)) for ca in TRUSTED))
    outcomes = {name: {"code": hostile.code, "part": hostile.part} for name, hostile in HOSTILE.items()}
    expected = {"at": NOW, "source": CLIENT, "principal": PRINCIPAL, "outcomes": outcomes}
    (directory / "expected.json").write_text(json.dumps(expected, indent=1))
    for name, hostile in HOSTILE.items():
        (directory / f"{name}-cert.pub").write_bytes(line(hostile.blob))


if __name__ == "__main__":
    main()
