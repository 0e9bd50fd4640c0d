"""How sure a traced figure is: its interval, and what speaks against it.

What it rests on. On eleven published runs of one card (DaoyuanLi2816/can-i-finetune-this, Qwen2.5 of 0.5 to 7 billion,
earlier versions of the libraries) live tensors were within 0.9 % of the trace, and reserved bytes within 1.2 % at the
median and 6.2 % at most. The replayed allocator reserves what the compiled one does, byte for byte; what is not
replayed is the order in which batches of different length come, and what libraries take past torch. The factors below
are wider than that, and assumed: they are fitted to no reading.
"""

from __future__ import annotations

from typing import Final

from compiler.memory.loss import computed_loss
from compiler.memory.stacks import Profile
from schemas.footprint import Confidence
from schemas.plan import Plan

SPREAD: Final[dict[Confidence, tuple[float, float]]] = {
    "high": (0.97, 1.03),
    "medium": (0.95, 1.06),
    "low": (0.92, 1.10),
}
"""How far live tensors may be from the trace, as factors."""
CONTEXT: Final = (0.6, 1.2)
"""How far the CUDA context may be from its usual size: that of the formula."""
GAP: Final = (0.5, 2.5)
"""How far reserved but unused bytes may be from the replayed ones."""


def doubts(plan: Plan, stack: Profile, *, varied: bool) -> tuple[Confidence, tuple[str, ...]]:
    """How far the trace can be trusted for this plan, and what speaks against it. `varied`: whether rows differ in
    length."""
    low, medium = _low(plan, stack, varied=varied), _medium(plan)
    return ("low" if low else "medium" if medium else "high"), (*low, *medium)


def leaves_holes(plan: Plan, stack: Profile, *, varied: bool) -> bool:
    """Whether batches with whole logits differ in length, in segments that cannot grow."""
    return varied and computed_loss(plan, stack) == "full" and not stack.expandable_segments


def _low(plan: Plan, stack: Profile, *, varied: bool) -> tuple[str, ...]:
    found = {
        "one of several cards was traced: communication was never compared with measurements": plan.devices > 1,
        "experts are fused parameters, which bitsandbytes leaves in 16 bit": bool(
            plan.quantization and plan.facts.experts
        ),
        "rows of different length leave holes between whole logits, in segments that cannot grow: only the longest "
        "batch was traced": leaves_holes(plan, stack, varied=varied),
    }
    return tuple(why for why, holds in found.items() if holds)


def _medium(plan: Plan) -> tuple[str, ...]:
    found = {
        "every expert was given its even share of the tokens": bool(plan.facts.experts),
        "compiled layers were traced as they are without torch.compile, which usually keeps less": (
            plan.training.compile
        ),
    }
    return tuple(why for why, holds in found.items() if holds)
