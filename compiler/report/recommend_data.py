"""The JSON of `ftc recommend`, which `ftc init --from-recommendation` reads."""

from __future__ import annotations

from typing import Final

from compiler.recommending.bases import Base, Card, Shelf
from compiler.recommending.elsewhere import Elsewhere
from compiler.recommending.guidance import guidance
from compiler.recommending.methods import Candidate, Recommendation
from compiler.recommending.ranks import Ranks
from compiler.report.machine import FORMAT_VERSION, as_data, diagnostic_data, gib, memory_data
from compiler.report.release_words import release_data

METHODS: Final = "methods"
BASES: Final = "bases"


def recommendation_data(found: Recommendation) -> dict[str, object]:
    """Methods for a model and a card. Fields may be added, never renamed."""
    wish = found.wish
    return {
        "format_version": FORMAT_VERSION,
        "recommends": METHODS,
        "model": {"base": wish.base, "name": wish.facts.name, "parameters": wish.facts.params},
        "gpu": wish.gpu.name,
        "count": wish.count,
        "objective": wish.objective,
        "max_length": wish.max_length,
        "global_batch_size": wish.batch,
        "tokens": wish.tokens,
        "target": wish.target,
        "more_than_adapters_hold": found.many,
        "choices": [{"choice": number, **_candidate(item, found)} for number, item in enumerate(found.choices, 1)],
        "others": [{**_candidate(item, found), **_misfit(item)} for item in found.others],
        "sources": {name: source.where for name, source in guidance().sources.items()},
    }


def _candidate(item: Candidate, found: Recommendation) -> dict[str, object]:
    plan = item.plan
    return {
        "method": item.kind,
        "set": item.set,
        "memory": memory_data(item.footprint),
        "time": _time(item),
        "rank": _ranks(item.ranks),
        "learning_rate": {
            "auto": plan.training.learning_rate if plan else None,
            "others": as_data(found.rates.get(item.kind, ())),
        },
        "micro_batch_size": plan.training.micro_batch_size if plan else None,
        "gradient_checkpointing": plan.training.gradient_checkpointing if plan else None,
        "strategy": plan.hardware.strategy if plan else None,
        "quality": {"level": item.guide.level, "because": item.guide.because, "sources": list(item.guide.sources)},
    }


def _time(item: Candidate) -> dict[str, object] | None:
    found = item.speed
    if found is None:
        return None
    return {
        "tokens_per_second": found.middle,
        "tokens_per_second_low": found.low,
        "tokens_per_second_high": found.high,
        "basis": item.speed_basis,
    }


def _ranks(ranks: Ranks | None) -> dict[str, object] | None:
    if ranks is None:
        return None
    return {
        "chosen": ranks.chosen,
        "because": ranks.because,
        "largest": ranks.largest or None,
        "usual": list(ranks.usual),
        "holds_tokens": ranks.holds,
    }


def _misfit(item: Candidate) -> dict[str, object]:
    return {
        "fits_on": [_elsewhere(place) for place in item.elsewhere],
        "refused": [diagnostic_data(error) for error in item.errors],
    }


def _elsewhere(place: Elsewhere) -> dict[str, object]:
    return {
        "gpu": place.gpu,
        "count": place.count,
        "strategy": place.strategy,
        "high_gib": gib(place.footprint.high),
        "costs": place.costs,
    }


def shelves_data(found: tuple[Shelf, ...], card: Card) -> dict[str, object]:
    """Bases by use, for a card."""
    return {
        "format_version": FORMAT_VERSION,
        "recommends": BASES,
        "gpu": card.gpu.name,
        "count": card.count,
        "uses": [_shelf(shelf) for shelf in found],
    }


def _shelf(shelf: Shelf) -> dict[str, object]:
    use = shelf.use
    return {
        "use": use.name,
        "title": use.title,
        "rule": use.rule,
        "order": use.order,
        "fits": shelf.fits,
        "bases": [_base(base) for base in shelf.bases],
    }


def _base(base: Base) -> dict[str, object]:
    plan = base.shown.plan
    return {
        "model": base.facts.name,
        "hub_id": base.facts.hub_id,
        "parameters": base.facts.params,
        "active_parameters": base.facts.active_params,
        "context": base.facts.context,
        "family": base.facts.family,
        **release_data(base.release),
        "methods": list(base.methods),
        "method": plan.method.kind if plan and base.methods else None,
        "memory": memory_data(base.footprint),
        "fits_on": [_elsewhere(place) for place in base.elsewhere],
    }
