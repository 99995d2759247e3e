"""The frame of the command line: help, errors, what is loaded when."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hoopjump import __version__
from hoopjump.cli.main import COMMANDS, DEFAULT_CONFIG
from hoopjump.cli.output import shown
from hoopjump.config import DEFAULT_PATH
from tests.cli.conftest import Run


def test_help_loads_nothing_heavy() -> None:
    """`hoopjump --help` names all commands and waits for no library that they need."""
    program = (
        "import sys\n"
        "from hoopjump.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'cryptography', 'pydantic', 'requests', 'sshpubkeys', 'asyncio'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert all(f"  {name} " in answer.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_command_says_of_itself(name: str) -> None:
    """The lines of the list stand apart from the commands, and agree with them."""
    module, line = COMMANDS[name]
    command = getattr(importlib.import_module(f"hoopjump.cli.{module}"), name)
    assert isinstance(command, click.Command)
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == line


def test_version_is_the_packages() -> None:
    """`--version` prints name and version on one line."""
    answer = subprocess.run(
        [sys.executable, "-m", "hoopjump.cli.main", "--version"], capture_output=True, text=True, check=True
    )
    assert answer.stdout == f"hoopjump {__version__}\n"


def test_the_default_configuration_is_the_one_of_the_daemon() -> None:
    """The path is written twice, since the frame does not load pydantic."""
    assert Path(DEFAULT_CONFIG) == DEFAULT_PATH


def test_a_mistyped_command_is_usage_and_gets_a_suggestion(hoopjump: Run) -> None:
    """Exit 2, the nearest name, and where help is."""
    said = hoopjump("certs")
    assert (said.status, said.out) == (2, "")
    assert said.err == "hoopjump: no such command `certs`; did you mean `cert`?\nhoopjump: hint: hoopjump --help\n"


def test_a_missing_option_is_usage(hoopjump: Run, tmp_path: Path) -> None:
    """What click complains of has our shape."""
    said = hoopjump("cert", "issue", tmp_path / "x.pub")
    assert said.status == 2
    assert said.err == "hoopjump: missing option '--ca'\nhoopjump: hint: hoopjump cert issue --help\n"


def test_a_failure_says_what_and_why_on_stderr_and_exits_1(hoopjump: Run, tmp_path: Path) -> None:
    """Nothing on stdout, one line on stderr."""
    said = hoopjump("cert", "inspect", tmp_path / "absent")
    assert (said.status, said.out, said.err) == (
        1,
        "",
        f"hoopjump: {tmp_path}/absent: No such file or directory\n",
    )


def test_a_bad_configuration_is_named_with_its_line(hoopjump: Run, tmp_path: Path) -> None:
    """A mistyped key is an error with file, line and the nearest name, whatever the command."""
    file = tmp_path / "hoopjump.toml"
    file.write_text('[gateway]\napi_urll = "http://gateway"\n')
    said = hoopjump("--config", file, "logins", "list")
    assert said.status == 2
    assert said.err == f"hoopjump: {file}:2: unknown key `gateway.api_urll`\nhoopjump: hint: did you mean `api_url`?\n"


def test_an_unforeseen_error_is_a_sentence_and_no_traceback(hoopjump: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only with HOOPJUMP_DEBUG=1 does it show where it arose."""

    def fail(*_: object) -> None:
        raise RuntimeError("\x1b[31mboom")

    monkeypatch.setattr("hoopjump.cli.cert.read_bounded", fail)
    said = hoopjump("cert", "inspect", "x")
    assert said.status == 1
    assert said.err.startswith("hoopjump: unforeseen error: RuntimeError: \\x1b[31mboom\n")
    assert "Traceback" not in said.err
    monkeypatch.setenv("HOOPJUMP_DEBUG", "1")
    assert "Traceback" in hoopjump("cert", "inspect", "x").err


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`hoopjump … | head -0` says nothing."""
    read, write = os.pipe()
    os.close(read)
    answer = subprocess.run(
        [sys.executable, "-m", "hoopjump.cli.main", "cert", "issue", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert (answer.returncode, answer.stderr) == (1, b"")


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_and_never_with_no_color(no_color: str, coloured: bool) -> None:
    """An error on a terminal is red, unless NO_COLOR is set (no-color.org)."""
    master, slave = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": no_color}
    subprocess.run([sys.executable, "-m", "hoopjump.cli.main", "nonsense"], stderr=slave, env=environment, check=False)
    os.close(slave)
    assert (b"\x1b[" in os.read(master, 4096)) is coloured
    os.close(master)


def test_text_from_outside_cannot_move_the_cursor() -> None:
    """Control characters, line ends, direction marks and undecodable bytes come out as escapes."""
    hostile = "a\x1b[2J\r\n\t\x07\x9b\u202e\u2028\udcff\U000e0001é"
    assert shown(hostile) == "a\\x1b[2J\\r\\n\\t\\x07\\x9b\\u202e\\u2028\\xff\\U000e0001é"
