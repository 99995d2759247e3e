"""How the hook starts: on every Python from 3.6 on, with few imports, and compiled beforehand."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hook.conftest import SOURCE, Hook, program, spool
from tests.hook.fake_daemon import answer

LINE = answer(("outcome", "line"), ("line", "alice"))


def interpreters() -> list[str]:
    """The Pythons of this machine, the system's first."""
    found = ["/usr/bin/python3"]
    for version in range(6, 15):
        found += sorted(str(path) for path in Path.home().glob(f".pyenv/versions/3.{version}.*/bin/python"))
        found += [str(path) for path in [Path(f"/usr/bin/python3.{version}")] if path.exists()]
    return found


def test_hook_keeps_to_the_grammar_of_python_3_6() -> None:
    """Whatever newer interpreter reads it."""
    ast.parse(SOURCE.read_text(), feature_version=(3, 6))
    assert SOURCE.read_text().isascii()


def test_top_imports_are_part_of_every_interpreter() -> None:
    """No import at the top costs a file; and nothing of ours or of others is imported anywhere."""
    tree = ast.parse(SOURCE.read_text())
    top = {name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names}
    everywhere = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert top == {"_signal", "_socket", "posix", "sys", "time"}
    assert everywhere == {*top, "select", "fcntl", "resource", "termios", "ctypes"}


def test_first_line_fits_into_what_old_kernels_read() -> None:
    """execve(2): 127 characters before Linux 5.1, and one argument."""
    first = SOURCE.read_text().splitlines()[0]
    assert first.startswith("#!/usr/bin/python3 -ISBc")
    assert len(first) <= 127
    assert SOURCE.stat().st_mode & 0o111


@pytest.mark.parametrize("python", interpreters())
def test_hook_runs_on_every_python_of_this_machine(hook: Hook, python: str) -> None:
    """Both verbs, through a spool, started by its first line as sshd starts it."""
    hook.file.write_text(hook.file.read_text().replace("/usr/bin/python3", python, 1))
    hook.python = []
    with hook.serving(LINE, spool(), program("/bin/sh", "-c", "cat; exit 3")):
        assert hook.run("principals", "--user=hoop").stdout == b"alice\n"
        done = hook.run("session", input=b"x" * 100000)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"x" * 100000, b"")


def test_started_by_its_first_line_the_hook_uses_its_compiled_form(hook: Hook) -> None:
    """As root installs it: what lies in __pycache__ is used for this very file, and for no other."""
    hook.python = []
    subprocess.run(["/usr/bin/python3", "-m", "py_compile", str(hook.file)], check=True)
    (compiled,) = (hook.directory / "__pycache__").iterdir()
    text = hook.file.read_text()
    with hook.serving(LINE):
        assert hook.run("principals", "--user=hoop").stdout == b"alice\n"
    marked = compiled.read_bytes().replace(b"usage: hook principals", b"usage: HOOK principals")
    compiled.write_bytes(marked)
    assert b"usage: HOOK" in hook.run("neither").stderr
    hook.file.write_text(text + "# changed\n")
    assert b"usage: hook" in hook.run("neither").stderr
    assert compiled.read_bytes() == marked


def test_a_hook_that_was_not_compiled_leaves_nothing_behind(hook: Hook) -> None:
    """Whoever runs it, root too: only the administrator says what lies beside it."""
    hook.python = []
    assert hook.run("neither").returncode == 64
    assert not (hook.directory / "__pycache__").exists()


def test_hook_starts_from_a_directory_with_hostile_modules(hook: Hook) -> None:
    """Neither the working directory nor the hook's own is a place to import from."""
    for name in ("select", "ctypes", "_socket", "encodings"):
        (hook.directory / f"{name}.py").write_text("raise SystemExit('hostile')\n")
    env = {"PYTHONPATH": str(hook.directory), "PYTHONSTARTUP": str(hook.directory / "select.py")}
    for python in ([], [sys.executable, "-ISE"]):
        hook.python = python
        hook.socket.unlink(missing_ok=True)
        with hook.serving(spool(), program("/bin/echo", "fine")):
            done = hook.run("session", env=env, cwd=hook.directory)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"fine\n", b"")
