"""Time and cost in words, each with its interval."""

from __future__ import annotations

from typing import Final

from compiler.duration.amount import millions
from compiler.duration.estimate import Estimate
from compiler.duration.ranges import Range

UNITS: Final = ((1.0, "hours", 1.0), (1 / 60, "minutes", 60.0), (0.0, "seconds", 3600.0))
"""From how many hours on, what they are counted in, and how many of them are an hour."""
CENT: Final = 0.01


def hours_words(found: Range) -> str:
    """As "3.1 hours (2.2 to 4.4)"; what is short in minutes or seconds."""
    word, times = next((word, times) for least, word, times in UNITS if found.middle >= least)
    scaled = found.times(times)
    return f"{digits(scaled.middle)} {word} ({digits(scaled.low)} to {digits(scaled.high)})"


def usd_words(found: Range) -> str:
    """As "4.00 USD (2.80 to 5.71)"."""
    if found.high < CENT:
        return "less than a cent"
    return f"{found.middle:,.2f} USD ({found.low:,.2f} to {found.high:,.2f})"


def speed_words(found: Range) -> str:
    """As "2,900 tokens a second (2,030 to 3,770)"."""
    return f"{found.middle:,.0f} tokens a second ({found.low:,.0f} to {found.high:,.0f})"


def digits(number: float) -> str:
    """One place behind the point up to ten, none beyond."""
    return f"{number:.1f}" if number < 9.95 else f"{number:,.0f}"


def unit_price(found: Estimate, usd_per_hour: float) -> float | None:
    """USD for a million tokens, where it is not known how many there are."""
    return usd_per_hour / found.speed.middle / 3600 * 1e6 if found.speed else None


def time_lines(found: Estimate) -> list[str]:
    """What it comes to, and under it what that rests on; nothing where neither speed nor tokens are known."""
    if found.speed is None:
        known = found.amount.tokens is not None
        return [f"unknown, as the speed of the card is not known; {found.amount.words}"] if known else []
    parts = [f"about {speed_words(found.speed)}"]
    if found.time:
        parts.append(hours_words(found.time))
    if found.price:
        parts.append(f"about {usd_words(found.price)}" if found.price.high >= CENT else usd_words(found.price))
    return [", ".join(parts), *found.basis.split("; ", 1), found.cost_basis]


__all__ = ["digits", "hours_words", "millions", "speed_words", "time_lines", "unit_price", "usd_words"]
