"""Which ranks fit, and which of them is sensible."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from compiler.memory.saved import trained
from compiler.recommending.guidance import guidance
from compiler.recommending.wish import Wish, compiled, fits, lean
from schemas.footprint import Stack
from schemas.plan import Plan

RANKED: Final = ("lora", "qlora", "dora", "qdora")
LADDER: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Ranks(Struct, frozen=True):
    """`largest`: of the ladder of powers of two, that fits with one row at once; 0 where none does. `usual`: from and to,
    as far as that fits. `holds`: trained tokens that the chosen rank can hold at most; `lacks`: whether the rows have
    more than the largest sensible one holds. `because`: why this one was chosen."""

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
    known, each = guidance().rank, _tokens_a_rank(wish, kind)
    if each is None:
        return None
    ladder = tuple(rank for rank in LADDER if rank <= wish.facts.hidden)
    largest = _largest(wish, kind, ladder)
    most = min(largest or known.start, known.most)
    low, high = known.usual
    usual = (min(low, most), min(high, most))
    chosen, why = _chosen(wish, each, most, ladder)
    lacks = wish.tokens is not None and wish.tokens > each * most
    return Ranks(chosen, largest, usual, each * chosen, lacks, why)


def _chosen(wish: Wish, each: int, most: int, ladder: tuple[int, ...]) -> tuple[int, str]:
    start = guidance().rank.start
    if start > most:
        return most, "the largest that fits"
    if wish.tokens is None or wish.tokens <= each * start:
        return start, "the usual start" if wish.tokens is None else "it holds what the rows have"
    wanted = next((rank for rank in ladder if each * rank >= wish.tokens and rank <= most), most)
    enough = each * wanted >= wish.tokens
    return wanted, "the smallest that holds what the rows have" if enough else "the rows have more than any rank holds"


def _tokens_a_rank(wish: Wish, kind: str) -> int | None:
    """Trained tokens that one rank holds; None where the recipe is refused."""
    made = compiled(wish, {"method.kind": kind, "method.rank": 1, **lean(wish, kind)})
    if made.plan is None or made.footprint is None or not made.valid:
        return None
    return guidance().rank.holds(_added(made.plan, made.footprint.stack))


def _added(plan: Plan, stack: Stack) -> int:
    return trained(plan, stack).parameters


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
