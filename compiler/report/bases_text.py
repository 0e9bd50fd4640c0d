"""`ftc recommend --gpu` for a person: base models by use, and what of each can be trained on the card."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.recommending.bases import Base, Card, Shelf
from compiler.report.memory_text import size
from compiler.report.paint import Paint
from compiler.report.recommend_text import elsewhere_words, hardware_words
from compiler.report.release_words import licence_words
from compiler.report.table import table
from schemas.facts import GIB

HEAD = ("base", "parameters", "context", "languages", "released", "licence", "trained by", "memory")


def shelves_text(found: tuple[Shelf, ...], card: Card, paint: Paint) -> str:
    """A table for each use, and the conditions of the licences in it."""
    room = f", {size(card.gpu.memory)}" if card.gpu.memory else ""
    said = f"{hardware_words(card.gpu.name, card.count)} ({card.gpu.title}{room})"
    head = (
        f"{paint(said, bold=True)}: bases of the catalog by use, those that can be trained here\n"
        "memory: what the method named needs at least, one row of 2,048 tokens at once; -: not found in a source\n"
    )
    return "\n".join((head, *(_shelf(shelf, paint) for shelf in found), _terms(found), _next(card, paint)))


def _shelf(shelf: Shelf, paint: Paint) -> str:
    use = shelf.use
    title = f"{paint(use.title, bold=True)} (--use {use.name}): {use.rule}\n"
    if not shelf.bases:
        return f"{title}  nothing of the catalog is like that\n"
    none = "" if shelf.fits else "  none can be trained here:\n"
    lines = table([HEAD, *(_row(base) for base in shelf.bases)])
    return f"{title}{none}" + "".join(f"  {line}\n" for line in lines.splitlines())


def _row(base: Base) -> list[str]:
    facts, release = base.facts, base.release
    active = f" ({facts.active_params / 1e9:.1f} active)" if facts.active_params < facts.params else ""
    return [
        facts.name,
        f"{facts.params / 1e9:.1f} B{active}",
        str(facts.context),
        str(release.languages or "-"),
        release.released or "-",
        licence_words(release),
        ", ".join(base.methods) or _where(base),
        _memory(base),
    ]


def _where(base: Base) -> str:
    places = [elsewhere_words(place.gpu, place.count, place.strategy) for place in base.elsewhere]
    return f"not here: {' or '.join(places)}" if places else "not here"


def _memory(base: Base) -> str:
    weighed, plan = base.footprint, base.shown.plan
    return f"{plan.method.kind}: {weighed.high / GIB:.1f} GiB" if weighed and plan else "-"


def _terms(found: tuple[Shelf, ...]) -> str:
    """What the conditions are, each licence once."""
    seen: dict[str, str] = {}
    for base in _bases(found):
        if base.release.licence and base.release.terms:
            seen.setdefault(base.release.licence, base.release.terms)
    return "".join(f"{licence}: {terms}\n" for licence, terms in seen.items())


def _bases(found: tuple[Shelf, ...]) -> Iterator[Base]:
    return (base for shelf in found for base in shelf.bases)


def _next(card: Card, paint: Paint) -> str:
    more = f" --count {card.count}" if card.count > 1 else ""
    ask = f"ftc recommend --model BASE --gpu {card.gpu.name}{more}"
    return f"{paint('next', bold=True)}\n  {ask}   # the methods for one of them\n"
