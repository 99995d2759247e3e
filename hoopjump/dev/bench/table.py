"""Rows of a measurement, for people and for scripts."""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One variant: milliseconds (median and 95th percentile), its ratio to the first, and further figures."""

    variant: str
    median_ms: float
    p95_ms: float
    ratio: float
    figures: Mapping[str, float] = field(default_factory=dict)


def row(variant: str, milliseconds: Sequence[float], base: float | None = None, **figures: float) -> Row:
    """Condense runs; ``base`` is the median that the ratio is taken to, the variant's own when there is none."""
    median = statistics.median(milliseconds)
    p95 = sorted(milliseconds)[min(len(milliseconds) - 1, int(len(milliseconds) * 0.95))]
    return Row(variant, median, p95, median / base if base else 1.0, figures)


def interleave(
    variants: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: int = 2
) -> dict[str, list[float]]:
    """Run every variant once a round, in an order of its own each round; gives milliseconds by variant."""
    order = list(variants)
    times: dict[str, list[float]] = {name: [] for name in order}
    shuffle = random.Random(1).shuffle  # noqa: S311 - an order, no secret
    for number in range(-warm_up, rounds):
        shuffle(order)
        for name in order:
            begin = time.perf_counter()
            variants[name]()
            if number >= 0:
                times[name].append((time.perf_counter() - begin) * 1000)
    return times


def rows_of(times: Mapping[str, Sequence[float]]) -> list[Row]:
    """A row for each variant; the first is the base of the ratios."""
    base = statistics.median(next(iter(times.values())))
    return [row(name, runs, base) for name, runs in times.items()]


def show(bench: str, rows: Sequence[Row], note: str, *, as_json: bool) -> None:
    """Print one measurement: an object on a line for scripts, else a table, and its note on stderr."""
    if as_json:
        data = [
            {
                "variant": each.variant,
                "median_ms": round(each.median_ms, 3),
                "p95_ms": round(each.p95_ms, 3),
                "ratio": round(each.ratio, 3),
                **{name: round(value, 3) for name, value in each.figures.items()},
            }
            for each in rows
        ]
        print(json.dumps({"bench": bench, "rows": data}), flush=True)
        return
    width = max(len(each.variant) for each in rows)
    print(f"\n{bench}\n{'variant':<{width}}  {'median ms':>10}  {'p95 ms':>10}  {'ratio':>6}")
    for each in rows:
        figures = "  ".join(f"{name} {value:,.1f}" for name, value in each.figures.items())
        print(f"{each.variant:<{width}}  {each.median_ms:>10.1f}  {each.p95_ms:>10.1f}  {each.ratio:>6.3f}  {figures}")
    sys.stdout.flush()
    print(note, file=sys.stderr)
