"""Bytes of the optimizer: its state, and what one step needs for a moment."""

from __future__ import annotations

from typing import Final

from compiler.memory.stacks import Profile
from compiler.memory.trainable import Group
from schemas.recipe import Optimizer

BLOCKWISE: Final[dict[Optimizer, float]] = {
    "adamw_8bit": 2 * (1 + 4 / 256),
    "paged_adamw_8bit": 2 * (1 + 4 / 256),
    "lion_8bit": 1 + 4 / 256,
    "adamw_4bit": 2 * (0.5 + 4 / 128),
    "paged_adamw": 8,
}
"""Bytes of state an element, whatever the weight's type: quantised in blocks with one float32 scale each
(bitsandbytes: 256, torchao: 128), or always float32 (bitsandbytes' 32-bit paged AdamW)."""

WIDE: Final[dict[Optimizer, int]] = {"adamw_8bit": 8, "paged_adamw_8bit": 8, "lion_8bit": 4}
"""The same of the input embedding under bitsandbytes' 8-bit optimizers, whose state transformers' Trainer keeps in
float32 (transformers 5.23 trainer.py create_optimizer; read on an H100: bench/results/h100.jsonl)."""

PAGED: Final = ("paged_adamw", "paged_adamw_8bit")
"""Optimizers whose state the driver may move to CPU memory when the card is full."""

FOREACH: Final = ("adamw", "sgd")
"""Optimizers of torch itself, which have a foreach form."""


def state(group: Group, optimizer: Optimizer, stack: Profile) -> float:
    """Bytes of state for these weights. Muon keeps one momentum for matrices; the rest is left to AdamW's two."""
    if optimizer in BLOCKWISE:
        wide = group.looked_up if optimizer in WIDE and stack.stack != "peft" else 0
        return (group.elements - wide) * BLOCKWISE[optimizer] + wide * WIDE.get(optimizer, 0)
    if optimizer == "adafactor":
        return group.factors * 4
    if optimizer == "sgd":
        return 0
    if optimizer == "muon":
        return (group.elements + group.outer) * group.width
    return 2 * group.size


def workspace(groups: tuple[Group, ...], optimizer: Optimizer, stack: Profile) -> int:
    """Bytes that a step needs beside its state."""
    if stack.foreach and optimizer in FOREACH:
        return sum(group.size for group in groups)
    if optimizer == "adafactor":
        # float32 copies of gradient and weight where they are narrower, the square and the square with epsilon
        return max(group.largest * 4 * (2 if group.width == 4 else 4) for group in groups)
    if optimizer == "muon":
        return max(_orthogonal(group) for group in groups)
    return 0


def _orthogonal(group: Group) -> int:
    """Of the largest matrix: the update, two steps of it in 16 bit, and two products of one with itself (torch 2.13
    optim/_muon.py)."""
    rows, columns = group.matrix
    return rows * columns * (group.width + 2 * 2) + 2 * 2 * min(rows, columns) ** 2
