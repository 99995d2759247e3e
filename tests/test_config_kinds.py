"""Every key of every configuration file: a value of another kind is refused, in our words."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from hoopjump.ca.main import main as hoopjump_ca
from hoopjump.ca.settings import CaConfig
from hoopjump.cli.main import main as hoopjump
from hoopjump.config import Config, ConfigError, parse_as
from hoopjump.config.kinds import Section
from hoopjump.identity.settings import LoginSettings

ISSUER = {"issuer": '"https://idp.example.com"', "audiences": '["x"]'}


@dataclass(frozen=True, slots=True)
class File:
    """A configuration file: what is read of it, the keys that it must have, table by table, and who reads it."""

    model: type[Section]
    required: dict[str, dict[str, str]]
    read: Callable[[Path], None]


FILES = {
    "hoopjump.toml": File(
        Config,
        {"[gateway]": {"api_url": '"https://gw.example.com"', "ssh_host": '"gw"'}, "[[tokens.issuer]]": ISSUER},
        lambda path: hoopjump(["--config", str(path), "keys", "list"]),
    ),
    "ca.toml": File(
        CaConfig,
        {
            "[server]": {"url": '"https://ca.example.com"', "listen": '"unix:/run/ca.sock"'},
            "[token]": {"issuer": '"https://ca.example.com"', "audience": '"x"'},
            "[[issuer]]": ISSUER,
        },
        lambda path: hoopjump_ca(["--config", str(path), "--check"]),
    ),
    "login.toml": File(
        LoginSettings,
        {"": {"issuer": '"https://idp.example.com"', "client_id": '"x"'}},
        lambda path: hoopjump(["whoami", "--settings", str(path)]),
    ),
}

VALUES = {
    "text": '"30"',
    "integer": "30",
    "number": "2.5",
    "boolean": "true",
    "list": '["30"]',
    "table": "{ x = '30' }",
    "date": "2026-01-31",
    "moment": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "list of numbers": "[30]",
    "list of lists": '[["30"]]',
    "infinity": "inf",
    "no number": "nan",
}
FOREIGN = re.compile(
    r"input should|string should|pydantic|validation error|type=|errors\.|https?://\S*(errors|docs)", re.I
)


def kinds(annotation: Any) -> set[str]:
    """What may stand in TOML for a type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return kinds(arguments[0])
    if origin in (Union, types.UnionType):
        return set().union(*(kinds(one) for one in arguments if one is not type(None)))
    if origin is Literal or annotation in (str, Path):
        return {"text"}
    if origin is dict:
        return {"table"}
    if origin is tuple:
        return set() if isinstance(arguments[0], type) and issubclass(arguments[0], BaseModel) else {"list"}
    return {bool: {"boolean"}, int: {"integer"}, float: {"integer", "number"}}.get(annotation, {"table"})


def keys(model: type[BaseModel], table: str = "") -> Iterator[tuple[str, str, Any]]:
    """Header of the table, name and type of every key; of the tables, too."""
    for name, field in model.model_fields.items():
        yield table, name, field.annotation
        below = next((one for one in (field.annotation, *get_args(field.annotation)) if _is_section(one)), None)
        if below is not None:
            path = f"{table.strip('[]')}.{name}".removeprefix(".")
            yield from keys(below, f"[[{path}]]" if get_origin(field.annotation) is tuple else f"[{path}]")


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def text(file: File, table: str, key: str, value: str) -> str:
    """A file that is good, but for the value of one key; the tables of a key that is one are left out."""
    path = f"{table.strip('[]')}.{key}".removeprefix(".")
    lines = [f"{key} = {value}"] if not table else []
    tables = {table: {}, **file.required} if table else dict(file.required)
    for header, required in tables.items():
        if (header.strip("[]") + ".").startswith(path + "."):
            continue
        lines += [header] if header else []
        lines += [f"{name} = {usual}" for name, usual in required.items() if (header, name) != (table, key)]
        lines += [f"{key} = {value}"] if header == table and header else []
    return "\n".join(lines) + "\n"


ALL = [(name, *row) for name, file in FILES.items() for row in keys(file.model)]


def test_all_keys_are_looked_at() -> None:
    """The walk goes through every table, and to the issuers of both files."""
    assert len(ALL) > 100
    tables = {(name, table) for name, table, _, _ in ALL}
    assert {("hoopjump.toml", "[[tokens.issuer]]"), ("ca.toml", "[[issuer]]"), ("ca.toml", "[token]")} < tables


@pytest.mark.parametrize(("name", "table", "key", "annotation"), ALL, ids=lambda part: str(part) if part else "top")
def test_a_value_of_another_kind_is_refused_in_our_words(
    name: str, table: str, key: str, annotation: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2; file and line, the key as it is written, what is wanted, and the next step."""
    path = tmp_path / name
    dotted = f"{table.strip('[]')}{'[0]' if table.startswith('[[') else ''}.{key}".removeprefix(".")
    for kind, value in VALUES.items():
        if kind in kinds(annotation):
            continue
        path.write_text(text(FILES[name], table, key, value))
        with pytest.raises(SystemExit) as ended:
            FILES[name].read(path)
        out, err = capfd.readouterr()
        assert (ended.value.code, out) == (2, ""), (kind, err)
        assert re.search(rf"^hoopjump(-ca)?: {re.escape(str(path))}:\d+: `{re.escape(dotted)}", err), (kind, err)
        assert re.search(r"must be |there may be several", err), (kind, err)
        assert err.count("\n") == 2, (kind, err)
        assert "\nhoopjump" in err, (kind, err)
        assert not FOREIGN.search(err), (kind, err)


# Of the right kind, and mostly not what is wanted.
ODD = {
    "text": [
        '""',
        '"\\u0007"',
        '"\\u0000"',
        '" "',
        '"x"',
        '"/\\n"',
        '"https://["',
        '"https://x:y/"',
        '"~nobody-at-all/x"',
    ],
    "integer": ["0", "-1", "99999999999999999999999999"],
    "number": ["0.0", "-0.5", "1e300", "1e-300"],
    "list": ["[]", '[""]', '["\\u0000"]', '["x", "x"]'],
    "table": ["{}", "{ '' = 3 }", "{ \"a\\u202eb\" = [''] }"],
    "boolean": ["true", "false"],
}


@pytest.mark.parametrize(("name", "table", "key", "annotation"), ALL, ids=lambda part: str(part) if part else "top")
def test_an_odd_value_of_the_right_kind_is_taken_or_refused_in_our_words(
    name: str, table: str, key: str, annotation: Any
) -> None:
    """Printable, on one line, and nothing but our own error."""
    for value in [one for kind in kinds(annotation) for one in ODD[kind]]:
        try:
            parse_as(FILES[name].model, text(FILES[name], table, key, value), name)
        except ConfigError as error:
            assert key in error.message
            assert (error.message + error.hint).isprintable()
            assert not FOREIGN.search(error.message + error.hint)


SECRETS = [
    ("hoopjump.toml", "[gateway]", "api_key"),
    ("hoopjump.toml", "[gateway]", "directory_database"),
    ("hoopjump.toml", "[gateway]", "api_url"),
    ("hoopjump.toml", "[handoff]", "ca_key"),
    ("hoopjump.toml", "[[tokens.issuer]]", "keys"),
    ("ca.toml", "[server]", "tls_key"),
    ("ca.toml", "[certificate]", "ca_key"),
    ("ca.toml", "[token]", "key"),
    ("login.toml", "", "client_secret"),
]


@pytest.mark.parametrize(("name", "table", "key"), SECRETS)
@pytest.mark.parametrize(
    "value", ['"pass word"', '["pass word"]', '"https://eve:pass word@host"', "{ x = 'pass word' }"]
)
def test_a_secret_that_was_pasted_in_is_not_repeated(name: str, table: str, key: str, value: str) -> None:
    """In whatever form: messages go to logs and terminals."""
    with pytest.raises(ConfigError) as caught:
        parse_as(FILES[name].model, text(FILES[name], table, key, value), name)
    assert key in caught.value.message
    if key == "api_url" and "@" not in value:
        return
    assert "pass word" not in caught.value.message + caught.value.hint
