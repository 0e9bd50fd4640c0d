"""Figures of a run as they are read.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

from math import isfinite


def short(value: float) -> str:
    """Four digits, as a curve is read."""
    if not isfinite(value):
        return f"{value}"
    size = abs(value)
    if size and (size < 0.0001 or size >= 10**6):
        return _scientific(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}" if size < 0.001 else f"{value:.4g}"


def rate(value: float) -> str:
    """A learning rate."""
    return f"{value:.3g}" if value >= 0.001 or not value else _scientific(value)


def _scientific(value: float) -> str:
    """As 1.5e-4."""
    digits, power = f"{value:.2e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def whole(value: float) -> str:
    """Without what stands behind the point."""
    return f"{value:,.0f}"


def many(count: int, word: str) -> str:
    """1 step, or 1,234 steps."""
    return f"{count:,} {word}{'s' * (count != 1)}"


def counted(value: int) -> str:
    """1,234 or 12.3 M."""
    for unit, word in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if value >= unit:
            return f"{value / unit:.3g} {word}"
    return f"{value:,}"


def size(gib: float | None) -> str:
    """GiB, or MiB where that is little."""
    if gib is None:
        return "–"
    return f"{gib:.2f} GiB" if gib >= 0.1 else f"{gib * 1024:,.0f} MiB"


def duration(seconds: float) -> str:
    """The two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
