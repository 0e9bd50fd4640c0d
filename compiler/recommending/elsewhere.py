"""Where a method would fit that does not fit here: a larger card, more of these, several larger ones."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.fixes.cards import larger_card, larger_cards, more_cards
from compiler.memory.fixes.search import Search, Trial
from compiler.memory.fixes.setting import with_leaves
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan


class Elsewhere(Struct, frozen=True):
    """Hardware on which it fits. `strategy`: how several cards share it. `costs`: in words, with a price where one is
    known."""

    gpu: str
    count: int
    strategy: str
    footprint: Footprint
    costs: str


def elsewhere(plan: Plan, stack: Stack) -> tuple[Elsewhere, ...]:
    """One larger card, and more of the same; where neither suffices, the smallest card of which several do."""
    search = Search(plan, stack)
    found = [trial for trial in (larger_card(search), more_cards(search)) if trial]
    return tuple(map(_named, found or _several_larger(plan, stack)))


def _several_larger(plan: Plan, stack: Stack) -> tuple[Trial, ...]:
    seen = set[int]()
    for card in larger_cards(plan):
        moved = with_leaves(plan, card.set)
        size = moved.hardware.memory or 0
        if size in seen:
            continue
        seen.add(size)
        trial = more_cards(Search(moved, stack))
        if trial:
            return (trial,)
    return ()


def _named(trial: Trial) -> Elsewhere:
    hardware = trial.plan.hardware
    costs = "; ".join(dict.fromkeys(change.costs for change in trial.changes))
    return Elsewhere(hardware.gpu or "", hardware.count, hardware.strategy, trial.footprint, costs)
