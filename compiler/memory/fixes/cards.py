"""Other hardware on which a plan fits as it stands: a larger card, or more cards."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.hardware import all_gpus
from compiler.memory.fixes.change import Change, Harm
from compiler.memory.fixes.changes import SHARDS, TRAFFIC
from compiler.memory.fixes.search import Search, Trial
from compiler.memory.fixes.setting import decided
from schemas.facts import GIB, Gpu
from schemas.plan import Plan
from schemas.recipe import Strategy

MOST_CARDS = 8
"""Cards of one machine that are proposed."""


def larger_cards(plan: Plan) -> Iterator[Change]:
    """Cards of the catalog with more memory that can compute this plan, the smallest first; of equals the cheapest."""
    for gpu in sorted(all_gpus(), key=_size):
        if not gpu.is_cpu and gpu.memory > (plan.hardware.memory or 0) and _suits(plan, gpu):
            yield Change(_named(plan, gpu), Harm.NONE, f"the same recipe on {_rent(gpu, plan.devices)}")


def larger_card(search: Search) -> Trial | None:
    """The first of them on which the plan fits as it stands."""
    found = (search.answer((change,)) for change in larger_cards(search.start.plan))
    return next((trial for trial in found if trial), None)


def more_cards(search: Search) -> Trial | None:
    """The fewest cards of the same kind on which the plan fits, its weights or state spread over them."""
    found = (search.answer((change,)) for change in _counts(search.start.plan))
    return next((trial for trial in found if trial), None)


def _counts(plan: Plan) -> Iterator[Change]:
    hardware, training = plan.hardware, plan.training
    if plan.gpu is not None and plan.gpu.is_cpu:
        return
    counts = [2**power for power in range(1, MOST_CARDS.bit_length()) if 2**power > hardware.count]
    for count in counts:
        if training.global_batch_size % (training.micro_batch_size * count * hardware.nodes):
            continue
        for strategy in _strategies(plan):
            yield _spread(plan, count, strategy)


def _strategies(plan: Plan) -> tuple[Strategy, ...]:
    """The plan's own, where it shards already."""
    return (plan.hardware.strategy,) if plan.hardware.strategy in SHARDS else SHARDS


def _spread(plan: Plan, count: int, strategy: Strategy) -> Change:
    leaves: dict[str, object] = {"hardware.count": count}
    if strategy != plan.hardware.strategy:
        leaves["hardware.strategy"] = strategy
    cards = f"{count} cards instead of {plan.hardware.count}"
    price = _price(plan.gpu, count * plan.hardware.nodes) if plan.gpu else "no price is known"
    return Change(leaves, Harm.NONE, f"the same result on {cards}, {price}; {TRAFFIC[strategy]}")


def _named(plan: Plan, gpu: Gpu) -> dict[str, object]:
    """A memory size that was stated for the old card goes with it."""
    leaves: dict[str, object] = {"hardware.gpu": gpu.name}
    stated = plan.hardware.memory is not None and (plan.gpu is None or plan.hardware.memory != plan.gpu.memory)
    return {**leaves, "hardware.memory": None} if stated else leaves


def _suits(plan: Plan, gpu: Gpu) -> bool:
    """Whether the card computes in the plan's type, unless that is chosen anew, and has the attention kernel."""
    capability, attention, dtype = gpu.compute_capability, plan.model.attention, plan.model.dtype
    chosen = decided(plan, "model.dtype")
    if (dtype == "bfloat16" and not gpu.has_bf16) or (chosen and dtype == "float32" and not gpu.has_bf16):
        return False
    if attention == "flash_attention_2":
        return capability is not None and capability >= 8
    if attention == "flash_attention_3":
        return capability is not None and 9 <= capability < 10
    return True


def _size(gpu: Gpu) -> tuple[int, bool, float]:
    """Cards of the same nominal size differ by less than half a GiB."""
    return (round(gpu.memory / GIB), gpu.usd_per_hour is None, gpu.usd_per_hour or 0.0)


def _rent(gpu: Gpu, count: int) -> str:
    return f"{gpu.title} with {gpu.memory / GIB:.1f} GiB, {_price(gpu, count)}"


def _price(gpu: Gpu, count: int) -> str:
    if gpu.usd_per_hour is None:
        return "no price is known"
    together = " together" if count > 1 else ""
    return f"about {gpu.usd_per_hour * count:.2f} USD an hour{together} ({gpu.price_date})"
