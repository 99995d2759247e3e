"""Help that teaches: every command shows what to type, and what is shown can be typed."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from hoopjump.cli.main import COMMANDS
from hoopjump.cli.main import hoopjump as program
from tests.cli.conftest import Run


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its name."""
    for name, (module, _) in COMMANDS.items():
        command = getattr(importlib.import_module(f"hoopjump.cli.{module}"), name)
        below = command.commands if isinstance(command, click.Group) else {"": command}
        yield from ((f"{name} {verb}".strip(), one) for verb, one in below.items())


ALL = dict(commands())


def examples(text: str) -> list[list[str]]:
    """The command lines of a text, as a shell takes them apart; without what the shell does with their output."""
    whole = re.sub(r"\\\n\s*", " ", text)
    lines = re.findall(r"^(?:Example:)?\s*(hoopjump .*?)(?: {3,}.*| > .*)?$", whole, re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("name", ALL)
def test_a_command_shows_an_example_that_it_takes(name: str) -> None:
    """With options that there are, and all that it needs."""
    shown = examples(click.unstyle(ALL[name].epilog or "").replace("\b", ""))
    assert shown, f"hoopjump {name} --help has no example"
    for words in shown:
        rest = words[1:]
        with program.make_context("hoopjump", [], resilient_parsing=True) as context:
            command: click.Command = program
            while isinstance(command, click.Group):
                _, found, rest = command.resolve_command(context, rest)
                assert found is not None
                command = found
        assert command is ALL[name]
        command.make_context(name, rest, context)


@pytest.mark.parametrize("name", ALL)
def test_every_option_says_what_it_is_for(name: str) -> None:
    """Its name alone does not."""
    silent = [option.opts[0] for option in ALL[name].params if isinstance(option, click.Option) and not option.help]
    assert silent == []


@pytest.mark.parametrize("name", ["", *COMMANDS, *ALL])
def test_help_goes_to_stdout_and_has_no_colour(hoopjump: Run, name: str) -> None:
    """Exit status 0; and whoever asks for less gets usage on stderr, exit status 2."""
    said = hoopjump(*name.split(), "--help")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"Usage: {f'hoopjump {name}'.strip()} [OPTIONS]")
    assert "\x1b" not in said.out
    wrong = hoopjump(*name.split(), "--no-such-option")
    assert (wrong.status, wrong.out) == (2, "")
    assert wrong.err.startswith("hoopjump: no such option")
