"""How long rows are, as a picture: a bar for each stretch of lengths, and where they are cut.

Everything is a percentage, so that the picture is as wide as there is room, and its words keep their size.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import ceil, floor
from typing import Final

from msgspec import Struct

from compiler.data.lengths import Bar
from compiler.data.verdict import Figures

FEWEST: Final = 10
"""Bars that there is at least room for: two or three do not fill the picture."""
MOST: Final = 8
"""Figures on an axis."""
LEAST: Final = 0.7
"""Percent of the height that a bar of few rows has: it can be seen."""


class Column(Struct, frozen=True):
    """A bar, in percent of the picture from its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    over: bool
    words: str


class Tick(Struct, frozen=True):
    """A round figure on an axis. `at`: percent from the left, or from the top."""

    at: float
    words: str


class Histogram(Struct, frozen=True):
    """`cut`: percent from the left at which rows are cut; None where that is further left or right than all bars."""

    columns: tuple[Column, ...]
    lengths: tuple[Tick, ...]
    rows: tuple[Tick, ...]
    cut: float | None


class Scale:
    """Where a length stands: all bars are as wide on the picture, and between their edges it is in proportion.

    A length n takes the stretch from n - ½ to n + ½.
    """

    def __init__(self, bars: Sequence[Bar]) -> None:
        self._edges = [bars[0].start - 0.5, *(bar.end + 0.5 for bar in bars)]
        self._width = 100 / max(FEWEST, len(bars))
        self._left = (100 - self._width * len(bars)) / 2
        self.low, self.high = self._edges[0], self._edges[-1]

    def __call__(self, length: float) -> float:
        """Percent from the left."""
        at = min(max(bisect_right(self._edges, length) - 1, 0), len(self._edges) - 2)
        start, end = self._edges[at], self._edges[at + 1]
        return round(self._left + self._width * (at + (length - start) / (end - start)), 3)


def histogram(figures: Figures, limit: int) -> Histogram | None:
    """None where there are no rows."""
    bars, spread = figures.bars, figures.lengths
    if not spread:
        return None
    scale = Scale(bars)
    most = max(bar.rows for bar in bars)
    step = _step(most, 4)
    top = step * ceil(most / step)
    return Histogram(
        tuple(_column(bar, scale, top) for bar in bars),
        tuple(Tick(scale(length), f"{length:,}") for length in _ticks(scale, doubled=spread.skewed)),
        tuple(Tick(round(100 - 100 * rows / top, 3), f"{rows:,}") for rows in range(0, top + 1, step)),
        scale(limit + 0.5) if scale.low < limit + 0.5 <= scale.high else None,
    )


def _column(bar: Bar, scale: Scale, top: int) -> Column:
    left, right = scale(bar.start - 0.5), scale(bar.end + 0.5)
    height = max(100 * bar.rows / top, LEAST) if bar.rows else 0.0
    return Column(left, round(100 - height, 3), round(right - left, 3), round(height, 3), bar.over, stretch(bar))


def stretch(bar: Bar) -> str:
    """A bar in words."""
    lengths = f"{bar.start:,}" if bar.start == bar.end else f"{bar.start:,} to {bar.end:,}"
    return f"{lengths} tokens: {bar.rows:,} row{'' if bar.rows == 1 else 's'}"


def _ticks(scale: Scale, *, doubled: bool) -> Sequence[int]:
    """Round figures: powers of two where bars get wider and wider."""
    if doubled:
        powers = [2**power for power in range(32) if scale.low < 2**power < scale.high]
        return powers[:: ceil(len(powers) / MOST)]
    step = _step(scale.high - scale.low, MOST)
    return range(step * ceil(scale.low / step), floor(scale.high) + 1, step)


def _step(most: float, count: int) -> int:
    """The least of 1, 2, 5, 10, 20, … of which at most `count` make up `most`."""
    steps = (factor * 10**power for power in range(12) for factor in (1, 2, 5))
    return next(step for step in steps if most / step <= count)
