"""The head and the loss: what is alive while logits are there. V x T tensors are the largest of many runs."""

from __future__ import annotations

from typing import Final

from compiler.memory.batch import Batch
from compiler.memory.precision import Precision
from compiler.memory.stacks import Profile
from schemas.plan import Plan
from schemas.recipe import Loss

LIGER_LOSS: Final = ("llamafactory",)
"""Stacks where `kernels: liger` brings Liger's fused loss: TRL forbids it beside its own, and ftc's Axolotl config
turns it off."""
NEVER_WHOLE: Final = ("dpo", "kto")
"""Objectives of which trl 1.16 never makes the logits whole (add_fused_lm_head in trainer/dpo_trainer.py and
kto_trainer.py); older ones, which other tools bring, do."""
LIGER_WIDTH = 8
"""Bytes of logits an element of the hidden states: Liger takes V / hidden chunks, so a chunk is as large as they."""


def computed_loss(plan: Plan, stack: Profile) -> Loss:
    """The loss that the stack computes for this plan. Losses over preferences are chunked by TRL's newer trainers
    alone, and there always."""
    if plan.training.objective not in ("sft", "pretrain"):
        return "chunked" if stack.stack == "native" and plan.training.objective in NEVER_WHOLE else "full"
    if plan.training.kernels == "liger" and stack.stack in LIGER_LOSS:
        return "chunked"
    return stack.loss(plan.training.loss)


def held_logits(plan: Plan, precision: Precision, stack: Profile) -> int:
    """Bytes a token of logits that the loop holds on to."""
    if not stack.holds_outputs or computed_loss(plan, stack) != "full":
        return 0
    return plan.facts.vocab * precision.logits


def held_graph(plan: Plan, precision: Precision, stack: Profile) -> int:
    """Bytes a token of inputs that 8-bit layers keep in the graph itself, where the loop holds on to its end: they are
    not given back as other kept tensors are (`ctx.tensors`, bitsandbytes 0.50)."""
    eight = plan.quantization is not None and plan.quantization.bits == 8
    if not eight or not stack.holds_outputs or plan.training.gradient_checkpointing is not False:
        return 0
    facts = plan.facts
    kept = 2 * facts.hidden + facts.heads * facts.head_dim + facts.intermediate
    return facts.layers * kept * precision.stream


def tile(plan: Plan, precision: Precision, stack: Profile, work: Batch) -> int:
    """What of the logits is there at once."""
    held, vocab, tokens = stack.tile, plan.facts.vocab, work.tokens
    if plan.training.kernels == "liger" and stack.stack in LIGER_LOSS:
        return LIGER_WIDTH * tokens * plan.facts.hidden
    if held.budget:
        return min(vocab * tokens * held.width, held.budget)
    rows = -(-tokens // held.chunks) if held.chunks else min(held.tokens, tokens)
    return held.whole * vocab * tokens + rows * (min(held.vocab, vocab) or vocab) * (held.width or precision.logits)
