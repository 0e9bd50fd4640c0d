"""What a speed is made of, in words."""

from __future__ import annotations

from typing import Final

from compiler.throughput.speed import speed
from schemas.footprint import Stack
from schemas.plan import Plan

NAMES: Final = {
    "products": "products of weights",
    "attention": "attention",
    "operators": "what moves more than it computes",
    "weights": "reading weights",
    "waiting": "waiting for the host",
    "links": "links between cards",
    "optimizer": "the optimizer",
    "trainer": "the trainer",
}
WORTH: Final = 0.02
"""Shares of a step below which a part is not named."""


def speed_words(plan: Plan, stack: Stack) -> str:
    """Where the time of a step goes, the largest part first, and how sure that is."""
    found = speed(plan, stack)
    if found is None:
        return ""
    parts = {name: getattr(found.seconds, name) / found.seconds.step for name in found.seconds.__struct_fields__}
    named = sorted(((share, name) for name, share in parts.items() if share >= WORTH), reverse=True)
    return f"{', '.join(f'{share:.0%} {NAMES[name]}' for share, name in named)}; {found.because}"
