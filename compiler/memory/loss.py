"""The head and the loss: what is alive while logits are there. V x T tensors are the largest of many runs."""

from __future__ import annotations

from typing import Final

from compiler.memory.activations import Batch
from compiler.memory.precision import Precision
from compiler.memory.stacks import Profile
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan
from schemas.recipe import Loss

CHAIN = 12
"""Bytes a logit beside the logits themselves: the saved float32 log-softmax, its gradient and the logits' gradient."""
CHAIN_FORWARD = 8
"""The same without a backward pass: the float32 copy and the log-softmax."""
LIGER_LOSS: Final = ("axolotl", "llamafactory")
"""Stacks where `kernels: liger` brings Liger's fused loss; TRL forbids it beside its own."""
LIGER_WIDTH = 8
"""Bytes of logits an element of the hidden states: Liger takes V / hidden chunks, so a chunk is as large as they."""


def computed_loss(plan: Plan, stack: Profile) -> Loss:
    """The loss that the stack computes for this plan. Losses over preferences are never chunked."""
    if plan.training.objective not in ("sft", "pretrain"):
        return "full"
    if plan.training.kernels == "liger" and stack.stack in LIGER_LOSS:
        return "chunked"
    return stack.loss(plan.training.loss)


def training_logits(plan: Plan, precision: Precision, stack: Profile, work: Batch) -> int:
    """Bytes at the loss in training, the largest moment of its backward pass."""
    if computed_loss(plan, stack) == "full":
        capped = precision.logits if plan.facts.softcap else 0
        return plan.facts.vocab * work.tokens * (precision.logits + CHAIN + capped)
    return _tile(plan, stack, work) + work.tokens * plan.facts.hidden * 4


def forward_logits(plan: Plan, precision: Precision, stack: Profile, work: Batch) -> int:
    """Bytes at the loss before or without a backward pass."""
    if computed_loss(plan, stack) == "full":
        return plan.facts.vocab * work.tokens * (precision.logits + CHAIN_FORWARD)
    return _tile(plan, stack, work)


def held_logits(plan: Plan, precision: Precision, stack: Profile, work: Batch) -> int:
    """Bytes of logits that the loop still holds in the optimizer's step."""
    if not stack.holds_outputs or computed_loss(plan, stack) != "full":
        return 0
    return plan.facts.vocab * work.tokens * precision.logits


def head_workspace(plan: Plan, precision: Precision, stack: Profile) -> int:
    """Bytes of copies of the head's weight: cast for autocast, or a float32 gradient of a chunked loss."""
    size = plan.facts.vocab * plan.facts.hidden
    cast = 2 * size if precision.autocast and precision.rest == 4 else 0
    return cast + (4 * size if computed_loss(plan, stack) == "chunked" and _head_trained(plan) else 0)


def _tile(plan: Plan, stack: Profile, work: Batch) -> int:
    """What of the logits is there at once."""
    tile, vocab, tokens = stack.tile, plan.facts.vocab, work.tokens
    if plan.training.kernels == "liger" and stack.stack in LIGER_LOSS:
        return LIGER_WIDTH * tokens * plan.facts.hidden
    if tile.budget:
        return min(vocab * tokens * tile.width, tile.budget)
    rows = -(-tokens // tile.chunks) if tile.chunks else min(tile.tokens, tokens)
    return tile.whole * vocab * tokens + rows * (min(tile.vocab, vocab) or vocab) * tile.width


def _head_trained(plan: Plan) -> bool:
    method = plan.method
    if isinstance(method, FullPlan):
        return True
    return isinstance(method, LoraPlan) and "lm_head" in method.modules_to_save
