"""Validity windows as ssh-keygen -V takes them (ssh-keygen(1); TIME FORMATS in sshd_config(5))."""

from __future__ import annotations

import re
import time
from calendar import timegm
from typing import Final

from hoopjump.decision.moments import FOREVER
from hoopjump.errors import InputError

# A certificate that begins this instant is refused by a host whose clock is a little behind.
BACKDATED: Final = 60

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION: Final = re.compile(r"(?:[0-9]{1,10}[smhdwSMHDW]?)+\Z")
_PART: Final = re.compile(r"([0-9]+)([smhdwSMHDW]?)")
_FORMATS: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


class ValidityError(InputError):
    """Not a validity window."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is not a validity window",
            "write a duration (8h, 1d12h) or FROM:TO as for ssh-keygen -V (-5m:+8h, 20260101Z:forever)",
        )


def parse_window(text: str, now: int) -> tuple[int, int]:
    """Begin and end in Unix seconds; raises :class:`ValidityError`, also for a window that holds no moment.

    A duration alone begins a minute ago. Dates are local time unless they end in ``Z``.
    """
    first, colon, last = text.partition(":")
    try:
        if not colon:
            duration = first.removeprefix("+")
            begin, end = now - BACKDATED, FOREVER if duration == "forever" else now + _duration(duration)
        else:
            begin = 0 if first == "always" else _moment(first, now)
            end = FOREVER if last == "forever" else _moment(last, now)
    except (ValueError, OverflowError):
        raise ValidityError(text) from None
    if not 0 <= begin < end <= FOREVER:
        raise ValidityError(text)
    return begin, end


def _moment(text: str, now: int) -> int:
    if text.startswith("+"):
        return now + _duration(text[1:])
    if text.startswith("-"):
        return now - _duration(text[1:])
    if text.startswith("0x"):
        return int(text, 16)
    utc = text.upper().endswith("Z")
    digits = text[:-1] if utc else text
    if not digits.isascii() or not digits.isdigit() or len(digits) not in _FORMATS:
        raise ValueError(text)
    parts = time.strptime(digits, _FORMATS[len(digits)])
    return timegm(parts) if utc else int(time.mktime(parts))


def _duration(text: str) -> int:
    if not _DURATION.match(text):
        raise ValueError(text)
    return sum(int(count) * _UNITS[unit.lower()] for count, unit in _PART.findall(text))
