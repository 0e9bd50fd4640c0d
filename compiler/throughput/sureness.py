"""How far a speed may be off, and why: by what was measured that is like it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from compiler.memory.optimizer import PAGED
from schemas.footprint import Stack
from schemas.plan import Plan

READ: Final = 1.12
"""Factor around the middle for runs like those that were read on a card (bench/results/h100.speed.json)."""
PUBLISHED: Final = 1.35
"""The same where published speeds of the card's generation are known. It was chosen by looking at them: four of five of
those that no other constant was fitted to lie within, three of four with the source that is set apart
(bench/speed_published.py)."""
ASSUMED: Final = 1.6
"""The same where none is."""
GENERATIONS: Final = (8.0, 8.6, 8.9, 9.0, 10.0, 12.0)
"""Compute capabilities of cards of which published speeds are known."""
WIDE: Final = 2048
"""Elements of the residual stream from which on models were read, not waited for."""


class Sureness(Struct, frozen=True):
    """`factor`: the middle divided and multiplied by it are the bounds. `because`: in words."""

    factor: float
    because: str


def sureness(plan: Plan, stack: Stack) -> Sureness:
    """How far the figure for this plan may be off."""
    if doubts := tuple(_doubts(plan, stack)):
        return Sureness(ASSUMED, f"low confidence: {', '.join(doubts)}")
    if _read(plan, stack):
        return Sureness(READ, "high confidence: like runs that were measured")
    return Sureness(PUBLISHED, "medium confidence: by published speeds of such cards")


def _doubts(plan: Plan, stack: Stack) -> list[str]:
    capability = plan.gpu.compute_capability if plan.gpu else None
    training, hardware = plan.training, plan.hardware
    found = {
        "no speed of such a card is known": capability not in GENERATIONS,
        "experts": plan.facts.experts > 0,
        "several machines": hardware.nodes > 1,
        f"no speed of {training.objective} is known": training.objective not in ("sft", "pretrain"),
        f"no speed of {plan.method.kind} is known": plan.method.kind not in ("full", "lora", "qlora", "dora"),
        "DoRA's own operations cost a fifth or more": plan.method.kind in ("dora", "qdora"),
        "8 bit": plan.quantization is not None and plan.quantization.bits == 8,
        "main memory is part of it": training.gradient_checkpointing == "offload"
        or hardware.offload != "none"
        or (training.optimizer in PAGED and plan.method.kind == "full"),
        f"no speed of {stack} is known": stack in ("axolotl", "llamafactory"),
        "rows are padded": not plan.data.packing,
    }
    return [why for why, holds in found.items() if holds]


def _read(plan: Plan, stack: Stack) -> bool:
    like = plan.gpu is not None and plan.gpu.name == "h100" and plan.devices == 1
    adapted = plan.method.kind in ("lora", "qlora") and plan.facts.hidden >= WIDE
    return like and adapted and stack in ("native", "unsloth") and plan.training.gradient_checkpointing is False
