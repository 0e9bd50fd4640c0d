"""The terms in which the layers of a decoder are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from compiler.checkpoint.reader import ConfigReader
from schemas.facts import Linear, Room

EXPERT_KEYS: Final = ("num_local_experts", "num_experts", "n_routed_experts")
PER_TOKEN_KEYS: Final = ("num_experts_per_tok", "top_k_experts")


class Dims(Struct, frozen=True):
    """Sizes that every family has, in elements."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int


class Part(Struct, frozen=True):
    """Weights of all layers: matrices, elements of norms, and elements of neither (routers, sinks, convolutions)."""

    linears: tuple[Linear, ...] = ()
    norms: int = 0
    others: int = 0

    def __add__(self, other: Part) -> Part:
        return Part(self.linears + other.linears, self.norms + other.norms, self.others + other.others)


Layout = Callable[[ConfigReader, Dims], Part]


def linear(name: str, d_in: int, d_out: int, *, room: Room, layers: int, bias: bool = False) -> Linear:
    """`Linear` with what it shares with its neighbours as keywords, to be bound by `functools.partial`."""
    return Linear(name, room, d_in, d_out, layers, bias=bias)


def expert_count(config: ConfigReader) -> int:
    """How many routed experts a layer has, under any of the names in use; 0 in a dense model."""
    return next((config.count(key) for key in EXPERT_KEYS if config.has(key)), 0)


def experts_per_token(config: ConfigReader) -> int:
    """How many of them a token visits; 0 in a dense model."""
    return next((config.count(key) for key in PER_TOKEN_KEYS if config.has(key)), 0)
