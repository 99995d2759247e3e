"""What sections of a configuration file are made of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

HIDDEN: Final = "hidden"
"""Marks, in a field's annotation, values that no message may repeat: a secret may stand there by mistake."""


def _path(value: Any) -> Any:  # noqa: ANN401  # whatever stands in the file
    # Anything but text is for pydantic to refuse.
    return Path(value) if isinstance(value, str) else value


def _absolute(value: Path) -> Path:
    if not value.is_absolute() or not str(value).isprintable():
        raise ValueError("must be an absolute path")
    return value


def _name(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError("must be text of printable characters, and not empty")
    return value


def shaped(pattern: str, wanted: str) -> AfterValidator:
    """A check that text matches all of ``pattern``; else the error says that it must be ``wanted``."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"must be {wanted}")
        return value

    return AfterValidator(check)


def is_url(text: str, *schemes: str) -> bool:
    """Whether it is a URL with a host, of one of the schemes, without user and fragment, and plain ASCII."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and {" ", "#"}.isdisjoint(text)
    return usable and plain and parts.username is None


def _http_url(value: str) -> str:
    if not is_url(value, "https", "http") or "?" in value:
        raise ValueError("must be https://HOST[:PORT][/PATH], without user, query and fragment")
    return value


TextPath = Annotated[Path, BeforeValidator(_path)]
AbsolutePath = Annotated[TextPath, AfterValidator(_absolute)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Name = Annotated[str, AfterValidator(_name)]
Port = Annotated[int, Field(ge=1, le=65535)]
# What poll(2) and the like can wait for, in milliseconds, is less than 25 days.
Timeout = Annotated[float, Field(ge=0.001, le=86400)]
Seconds = Annotated[float, Field(ge=0.001, le=10 * 365 * 86400)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]


class Section(BaseModel):
    """A table of a configuration file: read strictly, and fixed from then on. TOML has kinds, so none is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _fixed(cls, data: Any) -> Any:  # noqa: ANN401  # whatever stands in the file
        return _without_lists(data)


def _without_lists(value: Any) -> Any:  # noqa: ANN401
    """Lists become tuples, which is what sections have: strictly, the one is not the other."""
    if isinstance(value, dict):
        return {key: _without_lists(below) for key, below in value.items()}
    return tuple(map(_without_lists, value)) if isinstance(value, list) else value
