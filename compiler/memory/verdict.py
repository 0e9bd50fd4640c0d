"""Whether a run fits, and how sure that is."""

from __future__ import annotations

from typing import Final

from compiler.memory.loss import computed_loss
from compiler.memory.stacks import Profile
from schemas.diagnostic import Finding
from schemas.facts import GIB
from schemas.footprint import Confidence, Footprint, Verdict
from schemas.plan import Plan

CHECKED_FAMILIES: Final = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "mixtral", "qwen2_moe", "qwen3_moe"}
)
"""Families whose layers were compared with traces of transformers 5.23 (docs/memory-accuracy.md). Others have an
assumed layout."""


COMPARED: Final = ("full", "lora", "qlora", "dora", "qdora")
"""Methods that were compared with traces."""


def verdict(capacity: int | None, least: int, high: int) -> Verdict:
    """`least`: live tensors and context, without which nothing runs. `high`: the interval's upper end."""
    if capacity is None:
        return "unknown"
    if high <= capacity:
        return "fits"
    return "tight" if least <= capacity else "does_not_fit"


def misfit(footprint: Footprint, plan: Plan) -> Finding | None:
    """What there is to say about a plan that does not fit, or may not."""
    if footprint.verdict not in ("does_not_fit", "tight") or footprint.capacity is None:
        return None
    fits_not = footprint.verdict == "does_not_fit"
    card = plan.hardware.gpu or "the card"
    low, high, room = (f"{size / GIB:.1f}" for size in (footprint.low, footprint.high, footprint.capacity))
    message = f"{'does not fit' if fits_not else 'may not fit'} {card}: needs {low} to {high} GiB of {room} GiB"
    level = "error" if fits_not else "warning"
    return Finding("FTC301" if fits_not else "FTC302", "hardware.gpu", message, "`ftc plan` shows what helps", level)


def capacity(plan: Plan, stack: Profile) -> int | None:
    """Bytes of one card that the run may use; None where it is not known, or raw keys may change anything."""
    if plan.hardware.memory is None or _raw_changes_memory(plan, stack):
        return None
    return max(plan.hardware.memory - plan.hardware.reserve, 0)


def _raw_changes_memory(plan: Plan, stack: Profile) -> bool:
    if not plan.targets.axolotl and not plan.targets.llamafactory:
        return False
    from backends.raw_keys import raw_changes_memory

    return raw_changes_memory(stack.stack, plan)


def assumed_layout(plan: Plan) -> bool:
    """Whether the model's layers are of a kind that the formula was never compared with."""
    return plan.facts.family not in CHECKED_FAMILIES


def doubts(plan: Plan, stack: Profile, *, varied: bool) -> tuple[Confidence, tuple[str, ...]]:
    """How far the formula can be trusted for this plan, and what speaks against it. `varied`: whether rows differ in
    length."""
    low, medium = _low(plan, stack, varied=varied), _medium(plan, stack)
    return ("low" if low else "medium" if medium else "high"), (*low, *medium)


def _low(plan: Plan, stack: Profile, *, varied: bool) -> tuple[str, ...]:
    training, facts = plan.training, plan.facts
    full = computed_loss(plan, stack) == "full"
    found = {
        f"{facts.family} layers are assumed to keep what llama's keep, or up to twice that": assumed_layout(plan),
        "experts are fused parameters, which bitsandbytes leaves in 16 bit": bool(plan.quantization and facts.experts),
        "several cards: communication and gathering were never compared with measurements": plan.devices > 1,
        "rows of different length leave holes between whole logits, in segments that cannot grow": (
            full and varied and not stack.expandable_segments
        ),
        "selective checkpointing keeps products; which ones, the stack decides": (
            training.gradient_checkpointing == "selective" and stack.stack != "native"
        ),
        "main memory: torch's allocator on a CPU is not modelled": plan.gpu is not None and plan.gpu.is_cpu,
        f"{training.objective} was never compared with measurements": training.objective in ("dpo", "orpo", "kto"),
    }
    return tuple(why for why, holds in found.items() if holds)


def _medium(plan: Plan, stack: Profile) -> tuple[str, ...]:
    full = computed_loss(plan, stack) == "full"
    found = {
        "whole logits in segments that cannot grow: how much stays unused, the order of allocations decides": (
            full and not stack.expandable_segments
        ),
        "every expert is given its even share of the tokens": plan.facts.experts > 0,
        f"{stack.title} replaces operators of the model by its own": stack.stack == "unsloth",
        "of Liger's kernels one run was measured (Llama 3.1 8B on an H100)": plan.training.kernels == "liger",
        "what a compiler keeps is estimated, after one run measured (Llama 3.1 8B on an H100)": plan.training.compile,
        f"{plan.method.kind} was never compared with traces or measurements": plan.method.kind not in COMPARED,
        f"{plan.training.optimizer}'s step was never compared with traces or measurements": (
            plan.training.optimizer == "adamw_4bit" or (plan.training.optimizer == "muon" and stack.stack != "native")
        ),
    }
    return tuple(why for why, holds in found.items() if holds)
