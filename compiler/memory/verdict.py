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
    {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi3", "mixtral", "qwen3_moe"}
)
"""Families whose layers keep what the formula says: traces of transformers 5.23 on fake tensors differ by 0.3 % at
most. Others have an assumed layout."""

SPREAD: Final[dict[Confidence, tuple[float, float]]] = {
    "high": (0.96, 1.04),
    "medium": (0.93, 1.08),
    "low": (0.85, 1.18),
}
"""How far live tensors may be from the formula, as factors. Published runs on one card: median error 1 %, worst 5 %."""


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
    raw = {"axolotl": plan.targets.axolotl, "llamafactory": plan.targets.llamafactory}.get(stack.stack)
    if plan.hardware.memory is None or raw:
        return None
    return max(plan.hardware.memory - plan.hardware.reserve, 0)


def assumed_layout(plan: Plan) -> bool:
    """Whether the model's layers are of a kind that the formula was never compared with."""
    return plan.facts.family not in CHECKED_FAMILIES


def doubts(plan: Plan, stack: Profile) -> tuple[Confidence, tuple[str, ...]]:
    """How far the formula can be trusted for this plan, and what speaks against it."""
    low, medium = _low(plan, stack), _medium(plan, stack)
    return ("low" if low else "medium" if medium else "high"), (*low, *medium)


def _low(plan: Plan, stack: Profile) -> tuple[str, ...]:
    training, facts = plan.training, plan.facts
    full = computed_loss(plan, stack) == "full"
    found = {
        f"{facts.family} layers are assumed to keep what llama's keep, or up to twice that": assumed_layout(plan),
        "experts are fused parameters, which bitsandbytes leaves in 16 bit": bool(plan.quantization and facts.experts),
        "several cards: communication and gathering were never compared with measurements": plan.devices > 1,
        "rows of different length with whole logits: the longest batch decides": full and not plan.data.packing,
        "selective checkpointing keeps products; which ones, the stack decides": (
            training.gradient_checkpointing == "selective"
        ),
        f"{training.objective} was never compared with measurements": training.objective in ("dpo", "orpo", "kto"),
    }
    return tuple(why for why, holds in found.items() if holds)


def _medium(plan: Plan, stack: Profile) -> tuple[str, ...]:
    found = {
        "without checkpointing, what each operator saves decides": plan.training.gradient_checkpointing is False,
        f"{stack.title} replaces operators of the model by its own": stack.stack == "unsloth",
        "replacement kernels save less than the model's own": plan.training.kernels == "liger",
        "compiled layers usually save less; that is not counted": plan.training.compile,
        f"{plan.method.kind} was never compared with measurements": plan.method.kind not in ("full", "lora", "qlora"),
        f"{plan.training.optimizer}'s step was never compared with measurements": (
            plan.training.optimizer in ("adafactor", "muon", "adamw_4bit", "lion_8bit")
        ),
    }
    return tuple(why for why, holds in found.items() if holds)
