"""Settings of a private bastion, written as TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeGuard

Settings = Mapping[str, Mapping[str, object]]


def _is_tables(value: object) -> TypeGuard[list[dict[str, object]]]:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def as_toml(config: Settings) -> str:
    """Sections as they stand in a file; a list of mappings becomes an array of tables."""
    lines = []
    for section, values in config.items():
        lines.append(f"[{section}]")
        # JSON's strings, numbers, booleans and lists are also TOML's.
        tables = {key: value for key, value in values.items() if _is_tables(value)}
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items() if key not in tables]
        for key, rows in tables.items():
            for row in rows:
                lines.append(f"[[{section}.{key}]]")
                lines += [f"{name} = {json.dumps(value)}" for name, value in row.items()]
    return "\n".join(lines) + "\n"
