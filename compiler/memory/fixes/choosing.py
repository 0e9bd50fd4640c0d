"""The changes that are proposed, best first."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from compiler.memory.fixes.cards import larger_card, larger_cards, more_cards
from compiler.memory.fixes.change import Harm, Ladder
from compiler.memory.fixes.combining import combination, everything
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
    ranked = sorted(_settings(search), key=lambda trial: (trial.harm, slowness(search.start, trial)))
    hardware = [trial for trial in (larger_card(search), more_cards(search)) if trial]
    found = [*ranked[:MOST], *hardware] or list(_on_larger_card(search))
    return tuple(_fix(search.start, trial) for trial in found)


def _fix(before: Trial, after: Trial) -> Fix:
    said = dict.fromkeys(change.costs for change in after.changes)
    return Fix(after.set, after.footprint, "; ".join((*said, speed_words(slowness(before, after)))))


def _settings(search: Search) -> Iterator[Trial]:
    """The mildest of each kind that suffices alone, and a combination that harms less than all of these."""
    alone = [trial for ladder in search.ladders() if (trial := _mildest(search, ladder))]
    yield from alone
    least = min((trial.harm for trial in alone), default=None)
    if least == Harm.NONE:
        return
    together = combination(search)
    if together and (least is None or together.harm < least):
        yield together


def _mildest(search: Search, ladder: Ladder) -> Trial | None:
    return next((trial for change in ladder if (trial := search.answer((change,)))), None)


def _on_larger_card(search: Search) -> Iterator[Trial]:
    """Where neither suffices: the smallest card on which the plan fits after some changes, and these."""
    most = everything(search)
    for card in larger_cards(search.start.plan):
        if not search.answer((card, *most)):
            continue
        found = combination(Search(search.trial((card,)).plan, search.stack))
        if found:
            yield Trial((card, *found.changes), found.plan, found.footprint)
            return
