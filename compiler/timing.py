"""How long a run takes and what it costs, by the throughput model."""

from __future__ import annotations

from msgspec import Struct

from compiler.throughput import Interval, speed, speed_words
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan


class Estimate(Struct, frozen=True):
    """`tokens_per_second` of all cards together; None where the card's rate is unknown. `hours` and `usd` are None
    where the number of tokens, or the price, is unknown. `basis` and `cost_basis` say what was assumed."""

    tokens_per_second: float | None
    hours: float | None
    usd: float | None
    basis: str
    cost_basis: str


def estimate(plan: Plan, footprint: Footprint, tokens: int | None = None) -> Estimate:
    """Time and cost of the whole run. `tokens`: of all epochs, where the data was counted."""
    rate = tokens_per_second(plan, footprint)
    seen = _tokens(plan) if tokens is None else tokens
    hours = seen / rate / 3600 if rate and seen is not None else None
    basis = _basis(plan, footprint.stack, rate, seen)
    return Estimate(rate, hours, _usd(plan, hours), basis, _cost_basis(plan, hours))


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


def _tokens(plan: Plan) -> int | None:
    """Tokens of the whole run, where the recipe counts steps and rows are full."""
    if plan.training.max_steps is None or not plan.data.packing:
        return None
    return plan.training.max_steps * plan.tokens_per_step


def _usd(plan: Plan, hours: float | None) -> float | None:
    if hours is None or plan.gpu is None or plan.gpu.usd_per_hour is None:
        return None
    return hours * plan.gpu.usd_per_hour * plan.devices


def _basis(plan: Plan, stack: Stack, rate: float | None, tokens: int | None) -> str:
    if rate is None:
        return "no estimate: the card, or its rate in this type, is not known, or the run does not fit"
    count = "the number of tokens is unknown until the data is read" if tokens is None else f"{tokens:,} tokens"
    return f"{speed_words(plan, stack)}; {count}; loading, evaluation and saving are not counted"


def _cost_basis(plan: Plan, hours: float | None) -> str:
    if plan.gpu is None or plan.gpu.usd_per_hour is None:
        return "no price is known"
    cards = f"{plan.devices} x " if plan.devices > 1 else ""
    price = f"{cards}{plan.gpu.usd_per_hour:.2f} USD an hour, a typical price of {plan.gpu.price_date}"
    return price if hours is not None else f"{price}; the hours are unknown"
