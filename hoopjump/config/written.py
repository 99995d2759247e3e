"""How values, keys and lines stand in a configuration file: tomllib tells neither places nor spellings."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

VALUE_LIMIT: Final = 80

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY: Final = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_.-]+)\s*=")
_PART: Final = re.compile(r"\"[^\"]*\"|'[^']*'|[^.\s]+")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")

Place = tuple[str | int, ...]


def written(value: object) -> str:
    """A value as it stands in TOML, on one line of printable characters."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=not str(value).isprintable())
        case list() | tuple():
            return f"[{', '.join(map(written, value))}]"
        case dict():
            members = ", ".join(f"{_part(name)} = {written(below)}" for name, below in value.items())
            return f"{{ {members} }}" if members else "{}"
    return str(value)


def shortened(value: object) -> str:
    """A value as in :func:`written`, cut where it is longer than a line wants."""
    return _cut(written(value))


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_LIMIT else f"{text[:VALUE_LIMIT]}..."


def dotted(where: Place) -> str:
    """The name of a place, as ``tokens.issuer[1].leeway``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_part(part)}" for part in where).removeprefix(".")


def _part(name: str) -> str:
    return _cut(name if _BARE.fullmatch(name) else written(name))


def value_at(data: Any, where: Place) -> Any:  # noqa: ANN401  # anything may stand in the file
    """What stands at a place of a file that was read; None when nothing does."""
    for part in where:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def line_of(text: str, where: Place) -> int | None:
    """The line on which a key (or at least its table) stands."""
    table: Place = ()
    arrays: Counter[Place] = Counter()
    best: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _table(_parts(header[2]), header[1] == "[[", arrays)
            if where[: len(table)] == table:
                best = number
        elif key := _KEY.match(line):
            full = table + _parts(key[1])
            if where[: len(full)] == full:
                return number
    return best


def is_header(text: str, line: int | None) -> bool:
    """Whether a table begins on this line."""
    return line is not None and bool(_HEADER.match(text.splitlines()[line - 1]))


def _parts(name: str) -> Place:
    return tuple(part.strip("\"'") for part in _PART.findall(name))


def _table(names: Place, another: bool, arrays: Counter[Place]) -> Place:
    """The place of a table: within an array of tables, names lead into its last one so far."""
    place: Place = ()
    for position, part in enumerate(names, 1):
        place += (part,)
        if another and position == len(names):
            arrays[place] += 1
        if place in arrays:
            place += (arrays[place] - 1,)
    return place
