"""Reading a configuration file: TOML, strictly, and only where nobody else may write it."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from hoopjump.config.fault import ConfigError, explain
from hoopjump.config.kinds import Section

S = TypeVar("S", bound=Section)


def load_as(model: type[S], path: Path) -> S:
    """Read and check a configuration file, which root or the reader must own and nobody else may write.

    Raises :class:`ConfigError`.
    """
    try:
        with path.open(encoding="utf-8") as file:
            _must_be_ours(path, os.fstat(file.fileno()))
            text = file.read()
    except OSError as error:
        denied = isinstance(error, PermissionError)
        hint = f"chmod a+r {path}; it holds no secrets" if denied else "name the file with --config"
        raise ConfigError(f"{path}: {error.strerror}", hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    return parse_as(model, text, str(path))


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
        raise ConfigError(f"{place}: {re.sub(r' *[(]at .*[)]$', '', str(error))}") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise explain(error, model, text, name) from error
