"""What goes wrong, said for people: one base class, a message and a hint that names the next step."""

from __future__ import annotations


class HoopjumpError(Exception):
    """A failure that a person reads: ``message`` says what and why, ``hint`` the next step (may be empty)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
