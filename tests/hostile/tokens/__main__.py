"""``python -m tests.hostile.tokens DIRECTORY`` writes the tokens out, with what judges them.

NAME.jwt for each; expected.json with the reasons; jwks.json, the keys of the issuer of most of them; and hoopjump.toml,
a configuration that trusts all issuers as the table does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hoopjump.config.written import written
from tests.hostile.tokens.forge import (
    AUDIENCE,
    DAY,
    ISSUER,
    JWKS,
    MAILING,
    NOW,
    SECRET,
    SHARING,
    SINGLE,
    jwk,
    without_kid,
)
from tests.hostile.tokens.table import HOSTILE


def write(directory: Path) -> None:
    """Write all of it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, keys in (("jwks", JWKS), ("single", [without_kid("ed")]), ("mailing", [jwk("ed")])):
        (directory / f"{name}.json").write_text(json.dumps({"keys": keys}, indent=1))
    (directory / "secret").touch(mode=0o600)
    (directory / "secret").write_bytes(SECRET)
    (directory / "revoked").write_text("revoked\n")
    (directory / "hoopjump.toml").write_text(_configuration(directory.absolute()))
    expected = {"at": NOW, "issuer": ISSUER, "audience": AUDIENCE, "codes": {}}
    expected["codes"] = {name: hostile.code for name, hostile in HOSTILE.items()}
    (directory / "expected.json").write_text(json.dumps(expected, indent=1))
    for name, hostile in HOSTILE.items():
        (directory / f"{name}.jwt").write_bytes(hostile.token)


def _configuration(directory: Path) -> str:
    eddsa = ["EdDSA"]
    issuers: dict[str, dict[str, object]] = {
        ISSUER: {"keys": f"file:{directory}/jwks.json", "required": ["email"]},
        SINGLE: {"keys": f"file:{directory}/single.json", "types": ["at+jwt"], "algorithms": eddsa},
        MAILING: {"keys": f"file:{directory}/mailing.json", "user_claim": "email", "algorithms": eddsa},
        SHARING: {"keys": f"secret:file:{directory}/secret"},
    }
    usual = {"audiences": [AUDIENCE], "groups_claim": "groups", "longest_age": DAY, "revoked": directory / "revoked"}
    tables: list[tuple[str, dict[str, object]]] = [
        ("[gateway]", {"api_url": "https://gateway.example.com", "ssh_host": "gateway.example.com"}),
        ("[daemon]", {"keys_dir": directory}),
        *(("[[tokens.issuer]]", {"issuer": name, **usual, **own}) for name, own in issuers.items()),
    ]
    return "".join(
        "\n".join([header, *(f"{key} = {written(value)}" for key, value in table.items()), "", ""])
        for header, table in tables
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
