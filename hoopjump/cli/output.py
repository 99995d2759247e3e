"""How the command line speaks.

Rules of speech:

- The answer goes to stdout, everything said about it to stderr, so that a pipe carries the answer alone.
- A line to a person begins with ``hoopjump:``, goes on in lower case and ends without a full stop.
- A failure says what and why; what to do next is a line of its own, ``hoopjump: hint:``.
- Colour is for terminals, never where NO_COLOR is set, and never the only bearer of a meaning.
- What comes from outside (a certificate, the gateway, a log) is escaped first: it cannot move the cursor.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

import click

from hoopjump.errors import HoopjumpError
from hoopjump.findings import Finding, Level

EXIT_FAILURE = 1
EXIT_USAGE = 2

# Characters that reorder the text around them without being control characters (Unicode TR9).
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def shown(text: str) -> str:
    """``text`` with everything but printable characters and the space written as an escape."""
    return "".join(char if char.isprintable() and char not in _BIDIRECTIONAL else _escape(char) for char in text)


def _escape(char: str) -> str:
    # Undecodable bytes arrive as lone surrogates (PEP 383).
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def in_lower_case(sentence: str) -> str:
    """A sentence as a line goes on with it; what begins with a name in capitals (HS256) keeps them."""
    return sentence if sentence[1:2].isupper() or sentence[1:2].isdigit() else sentence[:1].lower() + sentence[1:]


def result(text: str = "") -> None:
    """One line of the answer."""
    print(text)


def result_json(value: object) -> None:
    """The answer as JSON; ASCII only, so that nothing in it can act on a terminal."""
    print(json.dumps(value, indent=2, ensure_ascii=True))


def say(text: str) -> None:
    """One line to the person: what is being done, or what was done."""
    print(f"hoopjump: {text}", file=sys.stderr)


def warn(text: str, hint: str = "") -> None:
    """Something is not as it should be; the work goes on."""
    print(f"hoopjump: {_coloured('warning:', 'yellow', sys.stderr)} {text}", file=sys.stderr)
    if hint:
        print(f"hoopjump: hint: {hint}", file=sys.stderr)


def failed(error: HoopjumpError) -> None:
    """The one shape of a failure."""
    for line in error.message.splitlines() or [""]:
        print(f"hoopjump: {_coloured(shown(line), 'red', sys.stderr)}", file=sys.stderr)
    for line in error.hint.splitlines():
        print(f"hoopjump: hint: {shown(line)}", file=sys.stderr)


def mark(passed: bool) -> str:
    """``ok`` or ``FAIL``, of equal width."""
    return level("ok" if passed else "failure")


def level(name: str) -> str:
    """``ok``, ``warn`` or ``FAIL`` for the levels ok, warning and failure; of equal width."""
    word, colour = {"ok": ("ok  ", "green"), "warning": ("warn", "yellow"), "failure": ("FAIL", "red")}[name]
    return _coloured(word, colour, sys.stdout)


def findings(found: Sequence[Finding], about: Mapping[str, str], as_json: bool) -> int:
    """What a check came to; ``about`` says of what, in JSON. The exit status: 1 when anything failed."""
    if as_json:
        rows = [{"level": item.level.value, "name": item.name, "text": item.text, "hint": item.hint} for item in found]
        result_json({**about, "findings": rows})
    else:
        for item in found:
            result(f"{level(item.level.value)}  {item.name}: {shown(item.text)}")
            if item.hint:
                result(f"      hint: {shown(item.hint)}")
    return EXIT_FAILURE if any(item.level is Level.FAILURE for item in found) else 0


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns under a header, with two spaces between; cells are escaped."""
    lines = [list(header), *([shown(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _coloured(text: str, colour: str, stream: TextIO) -> str:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return click.style(text, fg=colour)
