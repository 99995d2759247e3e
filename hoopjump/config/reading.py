"""Reading a configuration file: TOML, strictly, and only where nobody else may write it."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from hoopjump.config.fault import ConfigError, explain
from hoopjump.config.kinds import Section

FILE_LIMIT: Final = 1024 * 1024

_TOML_WORDS: Final = {
    "Cannot overwrite": "this key is there already",
    "Cannot declare": "this table is there already",
    "Cannot mutate": "this table is there already, in another form",
    "Cannot redefine": "this table is there already, in another form",
    "Duplicate inline": "a key in this table is there already",
    "Invalid value": "this is no value; text stands in quotes",
}

S = TypeVar("S", bound=Section)


def load_as(model: type[S], path: Path) -> S:
    """Read and check a configuration file, which root or the reader must own and nobody else may write.

    Raises :class:`ConfigError`.
    """
    try:
        with path.open("rb") as file:
            _must_be_ours(path, os.fstat(file.fileno()))
            data = file.read(FILE_LIMIT + 1)
    except OSError as error:
        denied = isinstance(error, PermissionError)
        hint = f"chmod a+r {path}; it holds no secrets" if denied else "name the file with --config"
        raise ConfigError(f"{path}: {error.strerror}", hint) from error
    if len(data) > FILE_LIMIT:
        raise ConfigError(f"{path}: larger than {FILE_LIMIT} bytes")
    try:
        return parse_as(model, data.decode(), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error


def _must_be_ours(path: Path, status: os.stat_result) -> None:
    """Whoever may write this file says which gateway gets the API key, and which program a session becomes."""
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"{path}: belongs to uid {status.st_uid}, who could have us do anything",
            f"chown root:root {path}, once you have read it",
        )
    if status.st_mode & 0o022:
        raise ConfigError(
            f"{path}: is writable by others (mode {stat.S_IMODE(status.st_mode):04o})", f"chmod go-w {path}"
        )


def parse_as(model: type[S], text: str, name: str) -> S:
    """Check configuration text; ``name`` is what errors call it. Raises :class:`ConfigError`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        place = f"{name}:{found[1]}" if found else name
        raise ConfigError(f"{place}: {_in_words(str(error))}", "docs/configuration.md has an example") from error
    except (ValueError, RecursionError) as error:
        # A number with thousands of digits, lists in lists without an end.
        raise ConfigError(f"{name}: a number or a nesting in it has no sensible size") from error
    return check_as(model, data, text, name)


def check_as(model: type[S], data: Mapping[str, Any], text: str, name: str) -> S:
    """Check what was read of a configuration's ``text``, or stands for it. Raises :class:`ConfigError`."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise explain(error, model, data, text, name) from error


def _in_words(error: str) -> str:
    """What tomllib says, without its place, and in our words where its own are of Python."""
    told = re.sub(r" *[(]at [^()]*[)]$", "", error)
    return next((words for beginning, words in _TOML_WORDS.items() if told.startswith(beginning)), told)
