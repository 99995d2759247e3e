"""``python -m tests.hostile.tokens DIRECTORY``: NAME.jwt for each, jwks.json, and expected.json with the reasons."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.hostile.tokens.forge import AUDIENCE, ISSUER, JWKS, NOW
from tests.hostile.tokens.table import HOSTILE


def main() -> None:
    """Write all of them."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "jwks.json").write_text(json.dumps({"keys": JWKS}, indent=1))
    expected = {"at": NOW, "issuer": ISSUER, "audience": AUDIENCE, "codes": {}}
    expected["codes"] = {name: hostile.code for name, hostile in HOSTILE.items()}
    (directory / "expected.json").write_text(json.dumps(expected, indent=1))
    for name, hostile in HOSTILE.items():
        (directory / f"{name}.jwt").write_bytes(hostile.token)


if __name__ == "__main__":
    main()
