"""What the demonstration prints: a command line as one would type it, and below it what came of it."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from typing import Final

_CONTROL: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])|[\x00-\x08\x0b-\x1f]"
)
_WIDTH: Final = 100


class Screen:
    """Writes to standard output; coloured on a terminal, unless NO_COLOR is set (no-color.org)."""

    def __init__(self) -> None:
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._write(f"\n{self._style('1', text)}\n{self._style('2', '─' * min(len(text), _WIDTH))}\n")

    def remark(self, text: str) -> None:
        """A sentence of explanation."""
        self._write(f"{text}\n")

    def command(self, line: str) -> None:
        """The command line that is run next."""
        self._write(f"\n{self._style('1;36', '$ ' + line)}\n")

    def output(self, text: str) -> None:
        """What the command said, indented; escape sequences of a terminal session are left out."""
        for line in printable(text).splitlines():
            self._write(f"  {line}\n")

    def status(self, status: int) -> None:
        """An exit status other than 0."""
        self._write(self._style("33", f"  (exit status {status})") + "\n")

    def log(self, line: str) -> None:
        """The line of a log that explains what was seen."""
        wrapped = textwrap.wrap(
            f"log: {printable(line).strip()}",
            _WIDTH,
            initial_indent="  ",
            subsequent_indent="       ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for part in wrapped:
            self._write(self._style("2", part) + "\n")

    def surprise(self, text: str) -> None:
        """Something did not go as it should."""
        self._write(self._style("1;31", f"  unexpected: {text}") + "\n")

    def _style(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._coloured else text

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def printable(text: str) -> str:
    """Text without escape sequences and control characters other than newline and tab."""
    return _CONTROL.sub("", text)
