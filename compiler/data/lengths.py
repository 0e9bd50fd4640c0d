"""How long rows are, and what follows from it: what is cut, how full packed or padded rows are, steps of an epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from typing import Final

from msgspec import Struct

MOST: Final = 200_000
"""Rows that are packed to see how full they get; of more a sample of the same lengths."""
BARS: Final = 24
"""Of many rows; fewer rows have fewer (Rice's rule)."""
FAR: Final = 4
"""A row that is so many times as long as nine tenths of the rows are at most is far longer."""


class Spread(Struct, frozen=True):
    """Lengths in tokens: the middle one, those that so many percent of the rows stay below or reach, the longest."""

    median: int
    p90: int
    p99: int
    longest: int
    mean: float

    @property
    def skewed(self) -> bool:
        """Whether a few rows are far longer than the others."""
        return self.longest > FAR * self.p90


class Bar(Struct, frozen=True):
    """`rows` rows of `start` to `end` tokens, both included. `over`: they are longer than `max_length`."""

    start: int
    end: int
    rows: int
    over: bool


class Filled(Struct, frozen=True):
    """Rows of a batch over an epoch, and the share of their positions that are tokens, not padding."""

    rows: int
    share: float


def spread(lengths: Counter[int]) -> Spread | None:
    """None where there are no rows."""
    total = lengths.total()
    if not total:
        return None
    ordered = sorted(lengths.items())
    reached = list(accumulate(count for _, count in ordered))

    def at(share: float) -> int:
        return next(length for (length, _), rows in zip(ordered, reached, strict=True) if rows >= share * total)

    tokens = sum(length * count for length, count in ordered)
    return Spread(at(0.5), at(0.9), at(0.99), ordered[-1][0], tokens / total)


def bars(lengths: Counter[int], max_length: int) -> tuple[Bar, ...]:
    """The distribution in bars, one of which ends at `max_length` if rows are longer: none is cut in part.

    They are of equal width; where a few rows are far longer than the others, each bar is as many times wider.
    """
    found = spread(lengths)
    if not found:
        return ()
    count = min(BARS, ceil(2 * lengths.total() ** (1 / 3)))
    shortest, longest = min(lengths), found.longest
    split = max_length if shortest <= max_length < longest else None
    if found.skewed:
        factor = (longest / shortest) ** (1 / count)
        ends = {round((split or longest) * factor**step) for step in range(-count, count)}
    else:
        width = ceil((longest - shortest + 1) / count)
        ends = {(split or ceil(longest / width) * width) + width * step for step in range(-count, count)}
    return _bars(lengths, sorted({longest, *(end for end in ends if shortest <= end < longest)}), max_length)


def _bars(lengths: Counter[int], ends: Sequence[int], max_length: int) -> tuple[Bar, ...]:
    starts = [min(lengths), *(end + 1 for end in ends[:-1])]
    return tuple(
        Bar(start, end, sum(rows for length, rows in lengths.items() if start <= length <= end), start > max_length)
        for start, end in zip(starts, ends, strict=True)
    )


def over(lengths: Counter[int], max_length: int) -> int:
    """How many rows are longer."""
    return sum(count for length, count in lengths.items() if length > max_length)


def weighted(pieces: Sequence[Counter[int]], weights: Sequence[float]) -> Counter[int]:
    """What an epoch sees: each source's lengths as often as its weight says. What is left of a row goes to the next
    longer one, so that neither rows nor tokens are lost where each has a length of its own."""
    seen = Counter[int]()
    for lengths, weight in zip(pieces, weights, strict=False):
        done = 0
        for length, count in sorted(lengths.items()):
            seen[length] += round((done + count) * weight) - round(done * weight)
            done += count
    return seen


def packed(lengths: Counter[int], capacity: int) -> Filled:
    """Rows laid end to end by best fit."""
    from backends.native.packing import best_fit  # numpy

    total = lengths.total()
    scale = min(1.0, MOST / total) if total else 1.0
    sample = [length for length, count in lengths.items() for _ in range(max(1, round(count * scale)))]
    if not sample:
        return Filled(0, 0.0)
    bins = len(best_fit(sample, capacity))
    share = sum(sample) / (bins * capacity)
    tokens = sum(length * count for length, count in lengths.items())
    return Filled(bins if scale == 1 else ceil(tokens / capacity / share), share)


def padded(lengths: Counter[int], rows: int) -> Filled:
    """Rows by themselves, `rows` of them at once, drawn at random and padded to the longest among them.

    The mean of the longest of n rows is the sum over all lengths of 1 - F(length)^n, F the share of shorter rows.
    """
    total = lengths.total()
    if not total:
        return Filled(0, 0.0)
    below = longest = 0
    expected = 0.0
    for length, count in sorted(lengths.items()):
        expected += (length - longest) * (1 - (below / total) ** rows)
        below, longest = below + count, length
    mean = sum(length * count for length, count in lengths.items()) / total
    return Filled(total, mean / expected)
