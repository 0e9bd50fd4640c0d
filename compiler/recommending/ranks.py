"""Which ranks fit, and which of them is sensible."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory.saved import trained
from compiler.recommending.guidance import guidance
from compiler.recommending.wish import Wish, compiled, fits, lean
from schemas.footprint import Stack
from schemas.method_plan import LoraPlan
from schemas.plan import Plan

RANKED: Final = ("lora", "qlora", "dora", "qdora")
LADDER: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Ranks(Struct, frozen=True):
    """`largest`: of the ladder of powers of two, that fits with one row at once; 0 where none does. `usual`: from and
    to, as far as that fits. `holds`: trained tokens that the chosen rank can hold at most; `lacks`: whether the rows
    have more than the largest sensible one holds. `because`: why this one was chosen."""

    chosen: int
    largest: int
    usual: tuple[int, int]
    holds: int
    lacks: bool
    because: str


def ranks(wish: Wish, kind: str) -> Ranks | None:
    """None of methods without a rank, and where the recipe is refused."""
    if kind not in RANKED:
        return None
    made = compiled(wish, {"method.kind": kind, **lean(wish, kind)})
    if made.plan is None or made.footprint is None or not made.valid:
        return None
    known, room = guidance().rank, _Room(made.plan, made.footprint.stack)
    ladder = tuple(rank for rank in LADDER if rank <= wish.facts.hidden)
    largest = _largest(wish, kind, ladder)
    most = min(largest or known.start, known.most)
    low, high = known.usual
    chosen, why = _chosen(wish, room, most, ladder)
    lacks = wish.tokens is not None and wish.tokens > room.at(most)
    return Ranks(chosen, largest, (min(low, most), min(high, most)), room.at(chosen), lacks, why)


class _Room(Struct, frozen=True):
    """What adapters of a plan can hold."""

    plan: Plan
    stack: Stack

    def at(self, rank: int) -> int:
        """Trained tokens that this rank holds at most."""
        if not isinstance(self.plan.method, LoraPlan):
            return 0
        other = replace(self.plan, method=replace(self.plan.method, rank=rank))
        return guidance().rank.holds(trained(other, self.stack).parameters)


def _chosen(wish: Wish, room: _Room, most: int, ladder: tuple[int, ...]) -> tuple[int, str]:
    start, tokens = guidance().rank.start, wish.tokens
    if start > most:
        return most, "the largest that fits"
    if tokens is None or tokens <= room.at(start):
        return start, "the usual start" if tokens is None else "it holds what the rows have"
    enough = next((rank for rank in ladder if rank <= most and room.at(rank) >= tokens), None)
    if enough is None:
        return most, "the rows have more than any sensible rank that fits can hold"
    return enough, "the smallest that holds what the rows have"


def _largest(wish: Wish, kind: str, ladder: tuple[int, ...]) -> int:
    """By bisection: a larger rank never needs less."""
    best, low, high = 0, 0, len(ladder)
    while low < high:
        middle = (low + high) // 2
        if fits(compiled(wish, {"method.kind": kind, "method.rank": ladder[middle], **lean(wish, kind)})):
            best, low = ladder[middle], middle + 1
        else:
            high = middle
    return best
