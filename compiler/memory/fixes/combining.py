"""Several changes at once, where none suffices or each would harm the result: no more of them than it takes."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.fixes.change import Change
from compiler.memory.fixes.search import Search, Trial

Rungs = dict[int, Change]
"""The number of a ladder → the change that is taken of it."""


class Pile(Struct, frozen=True):
    """Changes one on top of the other, and what the plan weighs under all of them."""

    taken: Rungs
    trial: Trial


def piled(search: Search) -> Pile:
    """Changes in the order of their harm, until the plan fits or there are no more."""
    numbered = ((number, change) for number, ladder in enumerate(search.ladders) for change in ladder)
    taken, best = dict[int, Change](), search.start
    for number, change in sorted(numbered, key=lambda step: step[1].harm):
        more = {**taken, number: change}
        found = search.trial(tuple(more.values()))
        if found.footprint.high > best.footprint.high or not search.keeps(found):
            continue
        taken, best = more, found
        if best.fits:
            break
    return Pile(taken, best)


def least(search: Search, taken: Rungs, card: tuple[Change, ...] = ()) -> Trial | None:
    """Of these changes, beside `card`, none that can be left out, and none stronger than it need be; None where the
    plan fits not even with all of them."""
    if not search.answer((*card, *taken.values())):
        return None
    while (needed := _softened(search, _without(search, taken, card), card)) != taken:
        taken = needed  # beside a milder change another one may be needless: less of one is not always more memory
    return search.answer((*card, *taken.values()))


def _without(search: Search, taken: Rungs, card: tuple[Change, ...]) -> Rungs:
    """Without what turns out not to be needed, the most harmful first."""
    for number in _worst_first(taken):
        fewer = {other: change for other, change in taken.items() if other != number}
        if search.answer((*card, *fewer.values())):
            taken = fewer
    return taken


def _softened(search: Search, taken: Rungs, card: tuple[Change, ...]) -> Rungs:
    """Each change as mild as the others let it be."""
    for number in _worst_first(taken):
        for milder in search.ladders[number]:
            if milder is taken[number]:
                break
            softer = {**taken, number: milder}
            if search.answer((*card, *softer.values())):
                taken = softer
                break
    return taken


def _worst_first(taken: Rungs) -> list[int]:
    return sorted(taken, key=lambda number: (taken[number].harm, number), reverse=True)
