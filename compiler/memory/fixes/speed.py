"""How much longer a token takes after a change, by the arithmetic of the time estimate."""

from __future__ import annotations

from compiler.memory.fixes.search import Trial
from compiler.throughput import pace

SAME = 0.01
"""Shares below which a difference is not worth a word."""


def slowness(before: Trial, after: Trial) -> float:
    """Seconds a token after the change over seconds before."""
    stack = after.footprint.stack
    return pace(after.plan, stack) / pace(before.plan, stack)


def speed_words(slower: float) -> str:
    """That ratio in words."""
    if slower > 1 + SAME:
        return f"about {slower - 1:.0%} more time a token, by arithmetic"
    if slower < 1 - SAME:
        return f"about {1 - slower:.0%} less time a token, by arithmetic"
    return "about as fast"
