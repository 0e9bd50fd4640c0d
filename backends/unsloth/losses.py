"""Combinations that Unsloth cannot do, or would quietly leave out."""

from __future__ import annotations

from typing import Final

from backends.alike import (
    bounded_by_trl,
    differs,
    lost,
    of_kto,
    shortened_by_trl,
    unreadable_template,
    untrained_tokens,
)
from backends.cadence import unsayable
from schemas.diagnostic import Finding
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan

SAVED_WHOLE: Final = ("lm_head", "embed_tokens")
SHORT: Final = 512
"""Tokens."""
NEVER_PACKED: Final = ("gemma2", "gpt_oss")
"""Families whose packing Unsloth turns off (unsloth/trainer.py)."""


def largest_micro(plan: Plan) -> int | None:  # noqa: ARG001 - the signature is that of every target
    """None: Unsloth has no limit of its own."""
    return None


def losses(plan: Plan) -> tuple[Finding, ...]:
    """What of this plan Unsloth would refuse, or quietly do otherwise."""
    return (
        *unsayable(plan),
        *unreadable_template(plan),
        *untrained_tokens(plan),
        *_lost_of_loss(plan),
        *_lost_of_attention(plan),
        *_differs_by_length(plan),
        *_lost_of_method(plan),
        *_lost_of_packing(plan),
    )


def _lost_of_loss(plan: Plan) -> list[Finding]:
    if plan.training.preference:
        found = shortened_by_trl(plan)
        if plan.training.loss != "full":
            found.append(lost("training.loss", "compared answers are scored from whole logits", "write full or auto"))
        return [*found, *bounded_by_trl(plan), *of_kto(plan)]
    if plan.training.loss != "chunked":
        return [lost("training.loss", "it never makes the logits whole", "write chunked or auto")]
    return []


def _lost_of_attention(plan: Plan) -> list[Finding]:
    """Its attention is eager where the model caps its attention logits, and sdpa or faster elsewhere."""
    asked, own = plan.model.attention, "eager" if plan.facts.beyond_sdpa else "sdpa"
    if asked == own or asked not in ("eager", "sdpa"):
        return []
    why = f"it brings its own attention, which stands for {own} with this model"
    return [lost("model.attention", why, "write auto")]


def _differs_by_length(plan: Plan) -> list[Finding]:
    """`apply_unsloth_gradient_checkpointing` in unsloth/models/_utils.py."""
    if plan.training.gradient_checkpointing != "offload" or plan.data.max_length >= SHORT:
        return []
    how = f"below {SHORT} tokens it recomputes without moving anything into CPU memory"
    return [differs("training.gradient_checkpointing", how)]


def _lost_of_method(plan: Plan) -> list[Finding]:
    found: list[Finding] = []
    method, dtype = plan.method, plan.model.dtype
    if isinstance(method, FullPlan) and method.weights_dtype not in ("float32", dtype):
        found.append(lost("method.weights_dtype", f"trained weights are float32 or {dtype}"))
    if isinstance(method, LoraPlan):
        if [name for name in method.modules_to_save if name not in SAVED_WHOLE]:
            found.append(lost("method.modules_to_save", f"only {' and '.join(SAVED_WHOLE)} can be trained whole"))
        quantization = method.quantization
        if quantization and quantization.bits == 8 and quantization.compute_dtype != dtype:
            found.append(
                lost("method.quantization.compute_dtype", f"8-bit weights compute in the model's type, {dtype}")
            )
    return found


def _lost_of_packing(plan: Plan) -> list[Finding]:
    if not plan.data.packing:
        return []
    if plan.hardware.gpu == "cpu":
        return [lost("data.packing", "on a CPU it does not pack", "write false")]
    if plan.facts.family in NEVER_PACKED:
        return [lost("data.packing", f"it does not pack {plan.facts.family}", "write false")]
    return []
