"""What cards and stacks reach of what data sheets say: data with sources, in `efficiency.json`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Final, TypedDict, cast

from msgspec import Struct

from schemas.facts import Gpu
from schemas.footprint import Stack

DATA: Final = Path(__file__).with_name("efficiency.json")


class Reached(Struct, frozen=True):
    """Shares of a card's rates: `products` of matrices and `attention` of its FLOP/s, `copies` of its bandwidth."""

    products: float
    attention: float
    copies: float


class _Shares(TypedDict):
    value: dict[str, float]
    source: str


class _Number(TypedDict):
    value: float
    source: str


class _Facts(TypedDict):
    products: _Shares
    attention: _Shares
    copies: _Shares
    stacks: _Shares
    traffic: _Number
    compiled: _Number
    compiled_liger: _Number
    launch: _Shares
    attention_length: _Number
    narrow: _Number
    trainer: _Number
    between_cards: _Shares
    pcie: _Shares
    between_nodes: _Number
    links_reached: _Number
    host_reached: _Number
    hidden: _Number


@cache
def facts() -> _Facts:
    """All of them."""
    return cast("_Facts", json.loads(DATA.read_text(encoding="utf-8")))


def reached(gpu: Gpu) -> Reached:
    """What a card of this generation reaches."""
    found = facts()
    return Reached(*(nearest(found[name]["value"], gpu) for name in ("products", "attention", "copies")))


def operators(stack: Stack) -> float:
    """Which share of single operators' traffic a stack's own kernels leave."""
    return facts()["stacks"]["value"].get(stack, 1.0)


def nearest(shares: dict[str, float], gpu: Gpu) -> float:
    """The share of the newest generation that is not newer than the card; of a card without one that of an A100."""
    capability = gpu.compute_capability or 8.0
    known = [(float(key), share) for key, share in shares.items()]
    return max((item for item in known if item[0] <= capability), default=min(known))[1]
