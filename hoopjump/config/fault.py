"""What is wrong with a configuration, and where: the file, the line and, for a mistyped key, the nearest valid name."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from hoopjump.errors import HoopjumpError

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY: Final = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_.-]+)\s*=")
_PART: Final = re.compile(r"\"[^\"]*\"|'[^']*'|[^.\s]+")

# What Python calls by names of its own.
_KINDS: Final = {
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_short": "must not be empty",
}

Place = tuple[str | int, ...]


class ConfigError(HoopjumpError):
    """The configuration cannot be used; the message starts with ``FILE:LINE:`` where a line is known."""


def misfit(message: str, *place: str | int) -> PydanticCustomError:
    """The error of values that do not go together; ``place`` leads to the one to name, from the model that raises."""
    return PydanticCustomError("misfit", "{message}", {"message": message, "place": place})


def explain(error: ValidationError, model: type[BaseModel], text: str, name: str) -> ConfigError:
    """The first fault in a configuration's ``text``, said for people; ``name`` is what the file is called."""
    faults = error.errors(include_url=False, include_input=False)
    # A mistyped key is the cause of the missing one beside it.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    where: Place = first["loc"]
    if first["type"] == "misfit":
        where += first["ctx"]["place"]
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")
    line = _line_of(text, where)
    place = f"{name}:{line}" if line else name
    if first["type"] == "extra_forbidden":
        known = _names_beside(model, where)
        near = difflib.get_close_matches(str(where[-1]), known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
        return ConfigError(f"{place}: unknown key `{dotted}`", hint)
    if first["type"] == "missing":
        return ConfigError(f"{place}: `{dotted}` is missing")
    if first["type"] == "tuple_type" and line and _HEADER.match(text.splitlines()[line - 1]):
        return ConfigError(f"{place}: `{dotted}`: there may be several, so each table begins with [[{dotted}]]")
    message = _KINDS.get(first["type"], first["msg"]).removeprefix("Value error, ")
    started = message if first["type"] == "misfit" else f"{message[:1].lower()}{message[1:]}"
    return ConfigError(f"{place}: `{dotted}`: {started}")


def _names_beside(model: type[BaseModel], where: Place) -> list[str]:
    for part in where[:-1]:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        below = _model_in(field.annotation) if field else None
        if below is None:
            return []
        model = below
    return sorted(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  # an annotation may be anything
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _line_of(text: str, where: Place) -> int | None:
    """The line on which a key (or at least its table) stands; tomllib does not tell."""
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


def _parts(dotted: str) -> Place:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


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
