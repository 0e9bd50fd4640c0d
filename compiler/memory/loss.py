"""The head and the loss: what is alive while logits are there. V x T tensors are the largest of many runs."""

from __future__ import annotations

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


def computed_loss(plan: Plan, stack: Profile) -> Loss:
    """The loss that the stack computes for this plan. Liger brings a chunked one, except to TRL, which forbids it;
    losses over preferences have none."""
    if plan.training.objective not in ("sft", "pretrain"):
        return "full"
    if plan.training.kernels == "liger" and stack.stack in ("axolotl", "llamafactory"):
        return "chunked"
    return stack.loss(plan.training.loss)


def training_logits(plan: Plan, precision: Precision, stack: Profile, work: Batch) -> int:
    """Bytes at the loss in training, the largest moment of its backward pass."""
    if computed_loss(plan, stack) == "full":
        capped = precision.logits if plan.facts.softcap else 0
        return plan.facts.vocab * work.tokens * (precision.logits + CHAIN + capped)
    return _tile(plan, stack, work) + work.tokens * plan.facts.hidden * 4


def evaluation_logits(plan: Plan, precision: Precision, stack: Profile, work: Batch) -> int:
    """Bytes at the loss in evaluation, where nothing is kept for gradients."""
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
    tile, vocab = stack.tile, plan.facts.vocab
    if tile.budget:
        return min(vocab * work.tokens * tile.width, tile.budget)
    return min(tile.tokens, work.tokens) * min(tile.vocab, vocab) * tile.width


def _head_trained(plan: Plan) -> bool:
    method = plan.method
    if isinstance(method, FullPlan):
        return True
    return isinstance(method, LoraPlan) and "lm_head" in method.modules_to_save
