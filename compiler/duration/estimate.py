"""Hours and cost of a plan, with their intervals, and what they rest on."""

from __future__ import annotations

from msgspec import Struct

from compiler.duration.amount import Amount, amount
from compiler.duration.ranges import Range
from compiler.throughput import speed_words
from compiler.timing import speed_interval
from schemas.footprint import Footprint
from schemas.plan import Plan


class Estimate(Struct, frozen=True):
    """`speed`: positions of all cards together in a second; None where the card's rate is unknown. `tokens`: of the
    whole run; `hours` and `usd` are None where the number of tokens, the speed or the price is unknown. `basis` and
    `cost_basis` say what was assumed."""

    speed: Range | None
    amount: Amount
    time: Range | None
    price: Range | None
    basis: str
    cost_basis: str

    @property
    def tokens_per_second(self) -> float | None:
        """What is expected of the speed."""
        return self.speed.middle if self.speed else None

    @property
    def tokens(self) -> float | None:
        """What is expected of the number of tokens."""
        return self.amount.tokens.middle if self.amount.tokens else None

    @property
    def hours(self) -> float | None:
        """What is expected of the time."""
        return self.time.middle if self.time else None

    @property
    def usd(self) -> float | None:
        """What is expected of the cost."""
        return self.price.middle if self.price else None


def estimate(plan: Plan, footprint: Footprint, tokens: int | None = None) -> Estimate:
    """Time and cost of the whole run. `tokens`: of an epoch, where the user states them."""
    seen = amount(plan, footprint.stack, tokens)
    speed = _speed(plan, footprint)
    time = seen.positions.over(speed).times(1 / 3600) if seen.positions and speed else None
    price = plan.gpu.usd_per_hour if plan.gpu else None
    cost = time.times(price * plan.devices) if time and price is not None else None
    return Estimate(speed, seen, time, cost, _basis(plan, footprint, speed, seen), _cost_basis(plan, time))


def _speed(plan: Plan, footprint: Footprint) -> Range | None:
    found = speed_interval(plan, footprint)
    return Range(found.low, found.middle, found.high) if found else None


def _basis(plan: Plan, footprint: Footprint, speed: Range | None, seen: Amount) -> str:
    if speed is None:
        return "no estimate: the card, or its rate in this type, is not known, or the run does not fit"
    return f"{seen.words}; {speed_words(plan, footprint.stack)}; loading, evaluation and saving are not counted"


def _cost_basis(plan: Plan, time: Range | None) -> str:
    if plan.gpu is None or plan.gpu.usd_per_hour is None:
        return "no price is known"
    cards = f"{plan.devices} x " if plan.devices > 1 else ""
    price = f"{cards}{plan.gpu.usd_per_hour:.2f} USD an hour, a typical price of {plan.gpu.price_date}"
    return price if time is not None else f"{price}; the hours are unknown"
