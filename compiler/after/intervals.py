"""How sure a figure is: 95 % intervals of means over rows, of shares, and of how two models differ on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final

from msgspec import Struct

SAMPLES: Final = 2000
"""How often rows are drawn anew."""
Z: Final = 1.959964
"""Of a normal distribution 95 % lie so many standard deviations around its middle."""


class Interval(Struct, frozen=True):
    """A figure and its 95 % interval; `low` and `high` are None where one row alone tells nothing of others."""

    value: float
    low: float | None = None
    high: float | None = None


def share(right: int, count: int) -> Interval:
    """Of rows that are right or wrong (Wilson's score interval, which is sound at 0 and at 1 too)."""
    if not count:
        return Interval(0.0)
    found, spread = right / count, Z * Z / count
    middle = (found + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * sqrt(found * (1 - found) / count + spread / (4 * count))
    return Interval(
        found, 0.0 if right == 0 else max(0.0, middle - half), min(1.0, middle + half) if right < count else 1.0
    )


def mean(sums: Sequence[float], counts: Sequence[int]) -> Interval:
    """The mean over all tokens, of each row's sum and number of them. Rows are drawn, as tokens of a row are alike."""
    return difference([0.0] * len(sums), sums, counts)


def difference(before: Sequence[float], after: Sequence[float], counts: Sequence[int]) -> Interval:
    """By how much the mean over all tokens grew, on the same rows: bootstrap by rows, from a fixed seed."""
    import numpy as np

    changes, sizes = np.subtract(after, before, dtype=float), np.asarray(counts, dtype=float)
    value = float(changes.sum() / sizes.sum())
    if len(changes) < 2:
        return Interval(value)
    draw = np.random.default_rng(0)
    means: list[float] = []
    for _ in range(SAMPLES):
        rows = draw.integers(0, len(changes), len(changes))
        means.append(float(changes[rows].sum() / sizes[rows].sum()))
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(value, float(low), float(high))
