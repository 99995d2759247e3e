"""The targets of `./dev fuzz` hold for what they begin with, so that what they find is new."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_for_its_seeds(name: str) -> None:
    """And for each of them cut off, and with a byte changed."""
    target = TARGETS[name]
    for seed in target.seeds():
        target.check(seed)
        middle = len(seed) // 2
        target.check(seed[:middle])
        target.check(seed[:middle] + b"\xff" + seed[middle + 1 :])
