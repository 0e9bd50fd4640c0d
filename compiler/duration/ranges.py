"""A figure that is not known exactly, and what follows from several of them."""

from __future__ import annotations

from math import exp, hypot, log
from typing import Final

from msgspec import Struct

LEAST: Final = 1e-9
"""Shares below are none: an interval has two ends above zero."""


class Range(Struct, frozen=True):
    """`middle` is what is expected; the truth is thought to lie between `low` and `high`."""

    low: float
    middle: float
    high: float

    def times(self, factor: float) -> Range:
        """So many times as much, as uncertain as before."""
        return Range(self.low * factor, self.middle * factor, self.high * factor)

    def wider(self, below: float, above: float) -> Range:
        """With another reason to be wrong beside those that it has: by these shares, which do not depend on them."""
        return combined(self.middle, (self, Range(1 - below, 1, 1 + above)))

    def over(self, other: Range) -> Range:
        """This divided by another figure, the two not depending on each other."""
        turned = Range(1 / max(other.high, LEAST), 1 / max(other.middle, LEAST), 1 / max(other.low, LEAST))
        return combined(self.middle * turned.middle, (self, turned))


def exactly(value: float) -> Range:
    """A figure that is known."""
    return Range(value, value, value)


def combined(middle: float, parts: tuple[Range, ...]) -> Range:
    """A product's interval from those of its factors. What makes one of them too large says nothing of the others, so
    that their errors add up as squares, of the logarithms: a factor of two too many and one too few are as likely."""
    if middle <= 0:
        return exactly(middle)
    below = hypot(*(log(part.middle / max(part.low, LEAST * part.middle)) for part in parts if part.middle > 0))
    above = hypot(*(log(max(part.high, part.middle) / part.middle) for part in parts if part.middle > 0))
    return Range(middle * exp(-below), middle, middle * exp(above))
