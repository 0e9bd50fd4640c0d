"""Floating-point operations of a pass, by what computes them."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.batch import Batch
from compiler.memory.loss import computed_loss
from compiler.memory.stacks import Profile
from schemas.method_plan import FullPlan
from schemas.plan import Plan
from schemas.work import adapter_params, asked


class Operations(Struct, frozen=True):
    """FLOP of one position: in products of weights, and in attention; what is computed again included."""

    products: float
    attention: float


def operations(plan: Plan, stack: Profile, work: Batch) -> Operations:
    """What this stack computes for one position of this batch."""
    return Operations(_products(plan, stack), _attention(plan, work))


def _products(plan: Plan, stack: Profile) -> float:
    """2 a weight forward, 2 for the gradient of what went in, 2 for a trained weight's own, 2 where it is done again.
    A chunked loss over TRL's kernels applies the head a second time on the way back."""
    facts, full = plan.facts, isinstance(plan.method, FullPlan)
    head = facts.vocab * facts.hidden
    layers, added = facts.matmul_params - head, adapter_params(plan)
    passes = 6 if full else 4
    again = 2 if plan.training.gradient_checkpointing is not False else 0
    twice = 2 if stack.stack == "native" and computed_loss(plan, stack) == "chunked" else 0
    only_asked = 2 * asked(plan)
    return layers * (passes + again + only_asked) + added * (6 + again) + head * (passes + twice + only_asked)


def _attention(plan: Plan, work: Batch) -> float:
    """Two products of a head's width forward; five on the way back, as fused kernels make the scores again."""
    facts = plan.facts
    forward = 4 * facts.heads * facts.head_dim * _pairs(plan, work)
    again = plan.training.gradient_checkpointing in (True, "offload")
    return forward * (1 + 2.5 + again + asked(plan))


def _pairs(plan: Plan, work: Batch) -> float:
    """Positions that one position is compared with, summed over layers: half of a row on average; the whole row under
    a mask that is written out; at most the window where there is one."""
    facts = plan.facts
    seen = work.length if written_out(plan, work) else plan.data.max_length / 2
    within = min(seen, facts.sliding_window or seen)
    sliding = facts.sliding_layers if not written_out(plan, work) else 0
    return (facts.layers - sliding) * seen + sliding * within


def written_out(plan: Plan, work: Batch) -> bool:
    """Whether attention is computed over all pairs of positions of a row, and some of them then left out."""
    return plan.model.attention == "eager" or (work.masked and plan.model.attention == "sdpa")
