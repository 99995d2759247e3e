"""What a check of either side comes to: findings, each with the next step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """``WARNING`` is for what a careful administrator would change; only ``FAILURE`` makes the check fail."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule looked at: its name, what was found, and what to do about it (empty when nothing)."""

    level: Level
    name: str
    text: str
    hint: str = ""


def ok(name: str, text: str) -> Finding:
    """As it should be."""
    return Finding(Level.OK, name, text)


def warning(name: str, text: str, hint: str) -> Finding:
    """Works, and could be better."""
    return Finding(Level.WARNING, name, text, hint)


def failure(name: str, text: str, hint: str) -> Finding:
    """Broken, or open."""
    return Finding(Level.FAILURE, name, text, hint)
