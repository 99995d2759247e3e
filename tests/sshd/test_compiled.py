"""The compiled form of the hook: found, found missing, found old, and found open to others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import hoopjump
from hoopjump.findings import Level
from hoopjump.sshd.compiled import check_compiled

PYTHON = "/usr/bin/python3"
OWNERS = frozenset({0, os.getuid()})


@pytest.fixture
def hook(tmp_path: Path) -> Path:
    """The hook, installed in a directory of ours."""
    path = tmp_path / "lib" / "hook"
    path.parent.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    path.write_bytes((Path(hoopjump.__file__).parent / "hook.py").read_bytes())
    path.chmod(0o755)
    return path


def compile_it(hook: Path) -> Path:
    """What the administrator is told to do; where its result lies."""
    subprocess.run([PYTHON, "-m", "py_compile", str(hook)], check=True, umask=0o022)
    (made,) = (hook.parent / "__pycache__").iterdir()
    return made


def test_a_hook_that_was_compiled_is_fine(hook: Path) -> None:
    """By the command that the check itself names."""
    before = check_compiled(hook, OWNERS)
    assert (before.level, before.hint) == (Level.WARNING, f"{PYTHON} -m py_compile {hook}")
    assert "is absent" in before.text
    made = compile_it(hook)
    assert check_compiled(hook, OWNERS).level is Level.OK
    assert check_compiled(hook, OWNERS).text == str(made)


def test_a_hook_that_was_replaced_must_be_compiled_again(hook: Path) -> None:
    """Python takes no compiled form of another file."""
    compile_it(hook)
    hook.write_text(hook.read_text() + "\n")
    assert "is stale" in check_compiled(hook, OWNERS).text


@pytest.mark.parametrize("open_place", ["file", "directory"])
def test_a_compiled_form_that_others_can_write_is_a_failure(hook: Path, open_place: str) -> None:
    """They would be the hook."""
    made = compile_it(hook)
    place = made if open_place == "file" else made.parent
    place.chmod(place.stat().st_mode | 0o022)
    found = check_compiled(hook, OWNERS)
    assert found.level is Level.FAILURE
    assert "decides who logs in" in found.text


def test_an_interpreter_that_is_not_there_is_told(hook: Path) -> None:
    """In words, and not by a traceback."""
    hook.write_text(hook.read_text().replace(PYTHON, "/usr/bin/no-python", 1))
    assert "/usr/bin/no-python does not say" in check_compiled(hook, OWNERS).text
