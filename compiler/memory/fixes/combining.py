"""Several changes at once, where none suffices or each would harm the result: no more of them than it takes."""

from __future__ import annotations

from compiler.memory.fixes.change import Change, Ladder
from compiler.memory.fixes.search import Search, Trial

Rungs = dict[int, Change]
"""The number of a ladder → the change that is taken of it."""


def combination(search: Search) -> Trial | None:
    """Changes that together make the plan fit and none of which can be left out or made milder; None if none do."""
    kinds = search.ladders()
    taken, found = _piled(search, kinds)
    if not found.fits:
        return None
    softened = _softened(search, kinds, _without(search, taken))
    return search.answer(tuple(softened.values()))


def everything(search: Search) -> tuple[Change, ...]:
    """Every change that can be made at once, or as many as it takes."""
    taken, _ = _piled(search, search.ladders())
    return tuple(taken.values())


def _piled(search: Search, kinds: tuple[Ladder, ...]) -> tuple[Rungs, Trial]:
    """Changes one on top of the other, those that harm least first, until it fits."""
    numbered = ((number, change) for number, ladder in enumerate(kinds) for change in ladder)
    taken, best = dict[int, Change](), search.start
    for number, change in sorted(numbered, key=lambda step: step[1].harm):
        more = {**taken, number: change}
        found = search.trial(tuple(more.values()))
        if found.footprint.high > best.footprint.high or not search.allows(found):
            continue
        taken, best = more, found
        if best.fits:
            break
    return taken, best


def _without(search: Search, taken: Rungs) -> Rungs:
    """The same without what turns out not to be needed, the most harmful first."""
    for number in _worst_first(taken):
        fewer = {other: change for other, change in taken.items() if other != number}
        if fewer and search.answer(tuple(fewer.values())):
            taken = fewer
    return taken


def _softened(search: Search, kinds: tuple[Ladder, ...], taken: Rungs) -> Rungs:
    """The same with each change as mild as the others let it be."""
    for number in _worst_first(taken):
        for milder in kinds[number]:
            if milder is taken[number]:
                break
            softer = {**taken, number: milder}
            if search.answer(tuple(softer.values())):
                taken = softer
                break
    return taken


def _worst_first(taken: Rungs) -> list[int]:
    return sorted(taken, key=lambda number: (taken[number].harm, number), reverse=True)
