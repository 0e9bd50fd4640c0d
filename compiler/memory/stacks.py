"""What the training code of each stack does with memory: data with sources, in `stacks.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from schemas.footprint import Stack
from schemas.recipe import Loss

DATA = Path(__file__).with_name("stacks.json")


@dataclass(frozen=True, slots=True)
class Tile:
    """What a chunked loss holds at once: `tokens` x `vocab` elements of `width` bytes (0: all of them).

    `budget`, in bytes, where the stack sizes its chunks by the memory that is free: at most this, at most half of
    what is free.
    """

    tokens: int
    vocab: int
    width: int
    budget: int


@dataclass(frozen=True, slots=True)
class Profile:
    """Facts of one stack.

    `autocast`: 16-bit runs compute under autocast. `upcast`: whether 16-bit weights beside quantised ones become
    float32: never, at load only, or always. `casts_adapter_inputs`: each adapted module copies its input.
    `foreach`: the optimizer step makes a temporary the size of all trained weights. `holds_outputs`: the loop keeps
    the logits until the next step. `losses`: those it has, the default first.
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
    expandable_segments: bool
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
    facts: dict[str, Any] = _data()[stack]
    found = {name: fact["value"] for name, fact in facts.items() if isinstance(fact, dict)}
    sources = {name: fact["source"] for name, fact in facts.items() if isinstance(fact, dict)}
    losses, tile = tuple(found.pop("losses")), Tile(**found.pop("tile"))
    return Profile(
        stack, title=facts["title"], version=facts["version"], losses=losses, tile=tile, sources=sources, **found
    )


@cache
def _data() -> dict[str, Any]:
    return json.loads(DATA.read_text(encoding="utf-8"))["stacks"]
