"""What goes wrong, said for people: one base class, a message and a hint that names the next step."""

from __future__ import annotations

from typing import ClassVar


class HoopjumpError(Exception):
    """A failure that a person reads: ``message`` says what and why, ``hint`` the next step (may be empty)."""

    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(HoopjumpError):
    """What was given to work with, a configuration or a file, cannot be used: as bad as wrong usage."""

    exit_status = 2
