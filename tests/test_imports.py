"""The rooms of docs/architecture.md, held: which folder may import which."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hoopjump"
# Beside the rooms: what they all may use, and the package's version.
SHARED = {"atomic", "errors", "findings"}

_ROW = re.compile(r"^\| `hoopjump/(?P<room>[a-z]+)(?:\.py|/)` \|[^|]*\| (?P<allowed>[^|]*) \|$", re.MULTILINE)


def rooms() -> dict[str, set[str]]:
    """Room by room in the table's order: what it may import of ours, besides itself."""
    table: dict[str, set[str]] = {}
    for row in _ROW.finditer((ROOT / "docs" / "architecture.md").read_text()):
        allowed = row["allowed"].strip()
        if allowed == "nothing of ours":
            names: set[str] = set()
        elif allowed == "all above":
            names = {*table, *SHARED} - {"hook"}
        else:
            names = set(re.findall(r"[a-z]+", allowed))
        table[row["room"]] = names
    return table


def modules(room: str) -> list[Path]:
    """The modules of a room."""
    folder = PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imported(module: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, with the line, imports in functions included."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_every_folder_is_a_room_of_the_table() -> None:
    """The table names what is there, all of it and nothing else."""
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert set(rooms()) == folders | (files - SHARED)


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_what_its_row_allows(room: str) -> None:
    """Imports point inward."""
    allowed = rooms()[room] | ({room} if (PACKAGE / room).is_dir() else set())
    wrong = [
        f"{module.relative_to(ROOT)}:{line} imports {name}"
        for module in modules(room)
        for line, name in imported(module)
        if name.startswith("hoopjump.") and name.split(".")[1] not in {*allowed, "__version__"}
    ]
    assert wrong == []


def test_the_hook_imports_the_standard_library_only() -> None:
    """What sshd starts stands alone: no package of ours, none of others."""
    known = sys.stdlib_module_names
    assert [name for _, name in imported(PACKAGE / "hook.py") if name.split(".")[0] not in known] == []


def test_the_pure_core_does_no_input_and_output() -> None:
    """The decision opens nothing, asks no clock, starts nothing."""
    banned = {"os", "io", "socket", "subprocess", "time", "pathlib", "random", "secrets", "threading", "asyncio"}
    wrong = [
        f"{module.name}:{line} imports {name}"
        for module in modules("decision")
        for line, name in imported(module)
        if name.split(".")[0] in banned
    ]
    assert wrong == []
