"""The list of reasons: codes that scripts rely on, sentences that people read."""

from __future__ import annotations

import re
from string import Formatter

import pytest

from hoopjump.decision.reasons import Reason, printable

VALUES = {"identity", "status", "account", "role", "suggestion", "verb", "type", "tool", "limit"}


def test_every_reason_has_a_code_of_its_own() -> None:
    """Enum members with equal values would be one; codes are words and dashes."""
    codes = [reason.code for reason in Reason]
    assert len(set(codes)) == len(codes) == len(Reason.__members__)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert [Reason.from_code(code) for code in codes] == list(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_sentence_can_be_filled(reason: Reason) -> None:
    """A sentence asks for known values only, is printable, and a refusal says what to do next."""
    wanted = {name for _, name, _, _ in Formatter().parse(reason.value.sentence) if name is not None}
    assert wanted <= VALUES
    sentence = reason.sentence(**dict.fromkeys(wanted, "X"))
    assert sentence.isprintable()
    assert "{" not in sentence + reason.value.hint
    assert reason is Reason.ALLOWED or reason.value.hint


def test_an_unknown_code_is_a_key_error() -> None:
    """A code from a newer log is not mistaken for another reason."""
    with pytest.raises(KeyError):
        Reason.from_code("no-such-code")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("älice", "älice"),
        ("a\x1b[2Jb\n", "a\\x1b[2Jb\\n"),
        ("\u202eevil", "\\u202eevil"),
        ("\udcff", "\\udcff"),
        ("x" * 129, "x" * 128 + "..."),
    ],
)
def test_values_from_outside_are_escaped_and_cut(value: str, shown: str) -> None:
    """Nothing in them can move a cursor, turn the writing round, or fill a screen."""
    assert printable(value) == shown
