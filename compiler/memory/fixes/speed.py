"""How much longer a token takes after a change, by the arithmetic of the time estimate."""

from __future__ import annotations

from msgspec.structs import replace

from compiler.memory.fixes.search import Trial
from compiler.timing import flops_per_token, tokens_per_second

SAME = 0.01
"""Shares below which a difference is not worth a word."""


def slowness(before: Trial, after: Trial) -> float:
    """Seconds a token after the change over seconds before; operations where the card's rate is not known."""
    fitting = replace(before.footprint, verdict="fits")  # the estimate refuses what does not fit
    old, new = tokens_per_second(before.plan, fitting), tokens_per_second(after.plan, after.footprint)
    if old and new:
        return old / new
    stack = after.footprint.stack
    return flops_per_token(after.plan, stack) / flops_per_token(before.plan, stack)


def speed_words(slower: float) -> str:
    """That ratio in words."""
    if slower > 1 + SAME:
        return f"about {slower - 1:.0%} more time a token, by arithmetic"
    if slower < 1 - SAME:
        return f"about {1 - slower:.0%} less time a token, by arithmetic"
    return "about as fast"
