"""The changes that are proposed, best first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec import Struct

from compiler.memory.fixes.cards import larger_card, larger_cards, more_cards
from compiler.memory.fixes.change import Harm, Ladder
from compiler.memory.fixes.combining import Pile, least, piled
from compiler.memory.fixes.search import Search, Trial
from compiler.memory.fixes.speed import slowness, speed_words
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan

MOST = 5
"""How many changes to the training are proposed, beside other hardware."""


class Fix(Struct, frozen=True):
    """`set`: recipe path → value, as `--set` takes it. `footprint`: what the changed plan weighs. `costs`: what is
    given up, with its basis."""

    set: dict[str, object]
    footprint: Footprint
    costs: str


def fixes(plan: Plan, stack: Stack) -> tuple[Fix, ...]:
    """Changes after which the plan fits; empty where it fits already or nothing is known.

    Least harm to the result first, then least time. Each change suffices alone; several together come where none
    does, or where each alone harms the result more. Other hardware comes last, as it costs money.
    """
    search = Search(plan, stack)
    if search.start.footprint.verdict not in ("tight", "does_not_fit"):
        return ()
    alone = [trial for ladder in search.ladders if (trial := _mildest(search, ladder))]
    harmless = any(trial.harm is Harm.NONE for trial in alone)
    pile = Pile({}, search.start) if harmless else piled(search)
    ranked = sorted((*alone, *_together(search, pile, alone)), key=lambda trial: (trial.harm, _slowness(search, trial)))
    hardware = [trial for trial in (larger_card(search), more_cards(search)) if trial]
    found = [*ranked[:MOST], *hardware] or list(_on_larger_card(search, pile))
    return tuple(_fix(search, trial) for trial in found)


def _mildest(search: Search, ladder: Ladder) -> Trial | None:
    """The first change of its kind that suffices alone."""
    return next((trial for change in ladder if (trial := search.answer((change,)))), None)


def _together(search: Search, pile: Pile, alone: Sequence[Trial]) -> Iterator[Trial]:
    """A combination, where it harms less than each change that suffices alone."""
    found = least(search, pile.taken) if pile.trial.fits else None
    if found and all(found.harm < trial.harm for trial in alone):
        yield found


def _on_larger_card(search: Search, pile: Pile) -> Iterator[Trial]:
    """Where neither suffices: the smallest card on which the plan fits after some changes, and these."""
    found = (least(search, pile.taken, (card,)) for card in larger_cards(search.start.plan))
    yield from islice(filter(None, found), 1)


def _fix(search: Search, trial: Trial) -> Fix:
    said = dict.fromkeys(change.costs for change in trial.changes)
    return Fix(trial.set, trial.footprint, "; ".join((*said, speed_words(_slowness(search, trial)))))


def _slowness(search: Search, trial: Trial) -> float:
    return slowness(search.start, trial)
