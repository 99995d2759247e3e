"""A rule that was looked at: its line of the trace, and what it means when it does not hold."""

from __future__ import annotations

from dataclasses import dataclass

from hoopjump.decision.reasons import Reason
from hoopjump.decision.values import Check


@dataclass(frozen=True, slots=True)
class Rule:
    """``reason`` and ``sentence`` count when ``check`` failed."""

    check: Check
    reason: Reason
    sentence: str


def rule(name: str, passed: bool, reason: Reason, detail: str, **values: str) -> Rule:
    """Make a rule; ``values`` fill the reason's sentence and must be printable."""
    return Rule(Check(name, passed, detail), reason, reason.sentence(**values))


def first_failed(rules: tuple[Rule, ...]) -> Rule | None:
    """The one that decides."""
    return next((item for item in rules if not item.check.passed), None)
