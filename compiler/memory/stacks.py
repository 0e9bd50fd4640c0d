"""What the training code of each stack does with memory: data with sources, in `stacks.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, cast

from msgspec import Struct

from schemas.footprint import Stack
from schemas.recipe import Loss

DATA = Path(__file__).with_name("stacks.json")

PLAIN: Final[Mapping[str, tuple[object, ...]]] = {
    "training.gradient_checkpointing": ("offload", "selective"),
    "training.loss": ("chunked",),
    "training.kernels": ("liger",),
}
"""What a plain loop over transformers and PEFT has no switch for."""


class Tile(Struct, frozen=True):
    """What a chunked loss holds at once.

    `whole`: bytes a logit that exist for all of them. Beside that one tile of `tokens` x `vocab` logits (0: all) of
    `width` bytes (0: of the type that products are computed in), or of one of `chunks` equal parts. `budget`, in
    bytes, where the stack sizes its tile by the memory that is free: at most this, and at most half of what is free.
    """

    whole: int
    chunks: int
    tokens: int
    vocab: int
    width: int
    budget: int


class Profile(Struct, frozen=True):
    """Facts of one stack.

    `autocast`: 16-bit runs compute under autocast. `upcast`: whether 16-bit weights beside quantised ones become
    float32: never, at load only, or always. `casts_adapter_inputs`: each adapted module casts, and so copies, its
    input. `foreach`: the optimizer step makes a temporary the size of all trained weights. `holds_outputs`: the loop
    keeps the logits until the next step. `losses`: those it has, the default first. `fused_attention`: whether
    attention is one kernel on every card. `packed`: packed rows stay rows, each with a mask; or are laid end to end,
    with the lengths of documents (`flat`); or end to end, where SDPA is given each document by itself and all else
    but flash attention one mask over all (`documents`).
    `power2_divisions`: in how many steps the allocator rounds sizes between powers of two (0: it does not).
    `sources`: where each fact is from.
    """

    stack: Stack
    title: str
    version: str
    autocast: bool
    upcast: Literal["never", "load", "always"]
    casts_adapter_inputs: bool
    foreach: bool
    holds_outputs: bool
    losses: tuple[Loss, ...]
    tile: Tile
    fused_attention: bool
    packed: Literal["rows", "flat", "documents"]
    expandable_segments: bool
    power2_divisions: int
    sources: dict[str, str]

    @property
    def default_loss(self) -> Loss:
        """The loss that the stack takes when nothing is said."""
        return self.losses[0]

    def loss(self, asked: Loss) -> Loss:
        """The loss that is computed when `asked` is said: the default where the stack has no such loss."""
        return asked if asked in self.losses else self.default_loss


@cache
def profile(stack: Stack) -> Profile:
    """The facts of a stack."""
    entry = _stacks()[stack]
    facts = {name: cast(dict[str, Any], fact) for name, fact in entry.items() if isinstance(fact, dict)}
    value = {name: fact["value"] for name, fact in facts.items()}
    return Profile(
        stack=stack,
        title=entry["title"],
        version=entry["version"],
        autocast=value["autocast"],
        upcast=value["upcast"],
        casts_adapter_inputs=value["casts_adapter_inputs"],
        foreach=value["foreach"],
        holds_outputs=value["holds_outputs"],
        losses=tuple(value["losses"]),
        tile=Tile(**value["tile"]),
        fused_attention=value["fused_attention"],
        packed=value["packed"],
        expandable_segments=value["expandable_segments"],
        power2_divisions=value["power2_divisions"],
        sources={name: fact["source"] for name, fact in facts.items()},
    )


@cache
def _stacks() -> dict[str, dict[str, Any]]:
    return json.loads(DATA.read_text(encoding="utf-8"))["stacks"]
