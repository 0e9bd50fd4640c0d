"""How fast a plan is, by the throughput model; nothing where it does not fit."""

from __future__ import annotations

from compiler.throughput import Interval, speed
from schemas.footprint import Footprint
from schemas.plan import Plan


def tokens_per_second(plan: Plan, footprint: Footprint) -> float | None:
    """Positions of all cards together that go through the model in a second; None where the rate is unknown."""
    found = speed_interval(plan, footprint)
    return found.middle if found else None


def speed_interval(plan: Plan, footprint: Footprint) -> Interval | None:
    """Positions a second of all cards together; None where the rate is unknown, or the run does not fit."""
    if footprint.verdict == "does_not_fit":
        return None
    found = speed(plan, footprint.stack)
    return found.tokens_per_second if found else None
