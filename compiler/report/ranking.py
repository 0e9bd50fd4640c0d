"""The recipe on every card, by cost and by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from msgspec import Struct

from compiler.duration.estimate import Estimate, estimate
from compiler.report.alternatives import Option, changed
from schemas.footprint import Footprint
from schemas.plan import Plan, leaves

TRIFLE: Final = 1e-12


class Place(Struct, frozen=True):
    """A card that can train it. `rate`: USD for a million positions, by which cards are ranked, whether it is known how
    many there are or not; None where there is no price. `by_cost`, `by_time`: its rank, from 1; None: it has none.
    `settings`: open leaves that became others than in the plan itself."""

    option: Option
    plan: Plan
    footprint: Footprint
    estimate: Estimate
    rate: float | None
    by_cost: int | None
    by_time: int | None
    settings: dict[str, object]


class Refusal(Struct, frozen=True):
    """A card that cannot. `missing`: bytes that it has too few; None where the recipe has an error for it, `why`."""

    option: Option
    missing: int | None
    why: str


class Ranking(Struct, frozen=True):
    """`places`: the cheapest first, then those without a price, the fastest first. `refusals`: what is missing least
    first. `varying`: leaves of `SHOWN` that differ between cards."""

    places: tuple[Place, ...]
    refusals: tuple[Refusal, ...]
    varying: tuple[str, ...]


SHOWN: Final = {
    "training.micro_batch_size": "micro",
    "training.gradient_checkpointing": "checkpointing",
    "model.dtype": "dtype",
    "model.attention": "attention",
    "training.loss": "loss",
    "training.optimizer": "optimizer",
    "training.kernels": "kernels",
    "hardware.strategy": "strategy",
}
"""Leaves that the compiler decides by the card, and what their columns are called."""


def ranking(own: Plan, others: Sequence[Option], tokens: int | None = None) -> Ranking:
    """Every option by what it costs and how long it takes. `own`: the plan that settings are compared with."""
    fitting = [(item, *_weighed(item)) for item in others]
    found = [_place(item, plan, footprint, own, tokens) for item, plan, footprint in fitting if plan and footprint]
    by_cost = _ranks(found, lambda place: place.rate)
    by_time = _ranks(found, lambda place: place.estimate.speed and 1 / place.estimate.speed.middle)
    ranked = [
        Place(item.option, item.plan, item.footprint, item.estimate, item.rate, cost, time, item.settings)
        for item, cost, time in zip(found, by_cost, by_time, strict=True)
    ]
    ranked.sort(key=lambda place: (place.by_cost or inf, place.by_time or inf))
    refused = [_refusal(item) for item, plan, _ in fitting if plan is None]
    refused.sort(key=lambda item: inf if item.missing is None else item.missing)
    values = [leaves(place.plan) for place in ranked]
    varying = tuple(path for path in SHOWN if len({str(each.get(path)) for each in values}) > 1)
    return Ranking(tuple(ranked), tuple(refused), varying)


def _weighed(item: Option) -> tuple[Plan | None, Footprint | None]:
    """The plan and its memory, where it can be trained there."""
    plan, footprint = item.compiled.plan, item.compiled.footprint
    if plan is None or footprint is None or not item.compiled.valid or footprint.verdict == "does_not_fit":
        return None, None
    return plan, footprint


def _place(item: Option, plan: Plan, footprint: Footprint, own: Plan, tokens: int | None) -> Place:
    found = estimate(plan, footprint, tokens)
    price = plan.gpu.usd_per_hour if plan.gpu else None
    rate = price * plan.devices / found.speed.middle / 3600 * 1e6 if price is not None and found.speed else None
    return Place(item, plan, footprint, found, rate, None, None, changed(own, plan))


def _ranks(found: Sequence[Place], key: Callable[[Place], float | None]) -> list[int | None]:
    """The rank of each; the same for what costs the same."""
    values = sorted(value for place in found if (value := key(place)) is not None)
    return [
        None if (value := key(place)) is None else sum(other < value - TRIFLE for other in values) + 1
        for place in found
    ]


def _refusal(item: Option) -> Refusal:
    footprint = item.compiled.footprint
    if item.compiled.valid and footprint is not None and footprint.capacity is not None:
        return Refusal(item, max(footprint.high - footprint.capacity, 0), "")
    errors = [found.message for found in item.compiled.diagnostics if found.level == "error"]
    return Refusal(item, None, errors[0] if errors else "it cannot be planned")
