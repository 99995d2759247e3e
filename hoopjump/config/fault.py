"""What is wrong with a configuration, in words: the file, the line, the key, its value, what is wanted instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from hoopjump.config.kinds import HIDDEN
from hoopjump.config.written import Place, dotted, is_header, line_of, shortened, value_at, written
from hoopjump.errors import InputError

# pydantic's kinds of errors, as people who write TOML call what is wanted.
_WANTED: Final = {
    "string_type": "must be text, in quotes",
    "is_instance_of": "must be text, in quotes",
    "int_type": "must be a whole number, without quotes and without a point",
    "float_type": "must be a number, without quotes",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false, without quotes",
    "tuple_type": "must be a list, in brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_short": "must not be empty",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "value_error": "{error}",
}
# Descriptions are made for docs/configuration.md, which links to its neighbours.
_LINK: Final = re.compile(r" ?[(]\[[^]]*\][(][^()]*[)][)]")


class ConfigError(InputError):
    """The configuration cannot be used; the message starts with ``FILE:LINE:`` where a line is known."""


def misfit(message: str, *place: str | int) -> PydanticCustomError:
    """The error of values that do not go together; ``place`` leads to the one to name, from the model that raises."""
    return PydanticCustomError("misfit", "{message}", {"message": message, "place": place})


def explain(
    error: ValidationError, model: type[BaseModel], data: Mapping[str, Any], text: str, name: str
) -> ConfigError:
    """The first fault in a configuration, said for people; ``name`` is what the file is called.

    ``data`` is what was read of its ``text``.
    """
    faults = error.errors(include_url=False, include_input=False)
    # A mistyped key is the cause of the missing one beside it.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    where: Place = first["loc"]
    if first["type"] == "misfit":
        where += first["ctx"]["place"]
    key, line = dotted(where), line_of(text, where)
    place = f"{name}:{line}" if line else name
    if first["type"] == "extra_forbidden":
        known = _names_beside(model, where)
        near = difflib.get_close_matches(str(where[-1]), known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
        return ConfigError(f"{place}: unknown key `{key}`{_of_issuer(data, where)}", hint)
    field = _field_at(model, where)
    if first["type"] == "missing":
        return ConfigError(f"{place}: `{key}`{_of_issuer(data, where)} is missing", _meaning(where, field))
    if first["type"] == "tuple_type" and is_header(text, line):
        wanted = f"there may be several, so each table begins with [[{key}]]"
        return ConfigError(f"{place}: `{key}`: {wanted}", _meaning(where, field))
    value = value_at(data, where)
    shown = f" = {shortened(value)}" if _may_be_shown(field, value) else ""
    return ConfigError(f"{place}: `{key}{shown}`{_of_issuer(data, where)}: {_wanted(first)}", _meaning(where, field))


def _wanted(fault: ErrorDetails) -> str:
    if fault["type"] == "misfit":
        return fault["msg"]
    if fault["type"] == "literal_error":
        return f"must be {fault['ctx']['expected']}".replace("'", '"')
    # What is not in the table is said without detail rather than in pydantic's words.
    return _WANTED.get(fault["type"], "cannot be used").format_map(fault.get("ctx", {}))


def _of_issuer(data: Mapping[str, Any], where: Place) -> str:
    """Numbers of tables are hard to count: the name of the issuer in whose table this is."""
    for end in range(len(where), 0, -1):
        table = value_at(data, where[:end])
        if isinstance(where[end - 1], int) and isinstance(table, dict):
            issuer = table.get("issuer")
            known = isinstance(issuer, str) and "issuer" not in where[end:] and _may_be_shown(None, issuer)
            return f" (issuer {shortened(issuer)})" if known else ""
    return ""


def _meaning(where: Place, field: FieldInfo | None) -> str:
    """What belongs there; of a section, how it begins."""
    name = dotted(tuple(part for part in where if isinstance(part, str)))
    if field is None:
        return "docs/configuration.md has every key"
    if field.description is None:
        header = f"[[{name}]]" if get_origin(field.annotation) is tuple else f"[{name}]"
        return f"the keys of this table stand below a line {header}; docs/configuration.md has them all"
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    usual = f"; {written(default)} unless set" if default not in (None, {}, ()) else ""
    return f"{name}: {_LINK.sub('', field.description).removesuffix('.')}{usual}"


def _may_be_shown(field: FieldInfo | None, value: object) -> bool:
    """Not where a secret is expected, nor a URL that may have a password in it, nor a whole table."""
    marked = field is not None and _is_marked(field.metadata, field.annotation)
    return value is not None and not marked and _is_harmless(value)


def _is_harmless(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_harmless, value))
    return not isinstance(value, dict) and not (isinstance(value, str) and "@" in value and "/" in value)


def _is_marked(metadata: Any, annotation: Any) -> bool:  # noqa: ANN401  # an annotation may be anything
    if HIDDEN in metadata:
        return True
    return any(_is_marked(getattr(one, "__metadata__", ()), one) for one in get_args(annotation))


def _field_at(model: type[BaseModel], where: Place) -> FieldInfo | None:
    """The field at a place, or the one that it is an element of."""
    found: FieldInfo | None = None
    for part in where:
        if isinstance(part, str):
            field = model.model_fields.get(part)
            if field is None:
                break
            found = field
            below = _model_in(field.annotation)
            if below is None:
                break
            model = below
    return found


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
