"""What a reason means to people, and with which status (sysexits.h) a session that has it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EX_USAGE: Final = 64
EX_DATAERR: Final = 65
EX_UNAVAILABLE: Final = 69
EX_TEMPFAIL: Final = 75
EX_NOPERM: Final = 77


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a reason means to people.

    ``sentence`` is a :meth:`str.format` template; ``exit_status`` is what the session hook exits with.
    """

    code: str
    sentence: str
    hint: str
    exit_status: int = EX_NOPERM
