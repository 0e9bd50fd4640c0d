"""Which base for a use, on a card: by facts of the catalog and by what can be trained there, never by scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import groupby, islice
from math import inf
from pathlib import Path
from typing import Final

from msgspec import Struct

from compiler.build import Compiled
from compiler.model_releases import Release, release_of
from compiler.models import all_models
from compiler.recommending.elsewhere import Elsewhere, elsewhere
from compiler.recommending.wish import Wish, compiled, fits, lean
from schemas.facts import Gpu, ModelFacts
from schemas.footprint import Footprint, Stack

METHODS: Final = ("full", "lora", "qlora")
"""What is tried for each base, at the least that it can need."""
PREFERRED: Final = ("lora", "full", "qlora")
"""Whose memory is shown: the first of these that fits."""
LENGTH: Final = 2048
SHOWN: Final = 4
"""Bases a use; more where one use is asked for."""
OF_ONE: Final = 12
MISSED: Final = 2
"""Those that are named where none fits."""
EDGE: Final = 4.2e9
CONSUMER: Final = 10e9
CENTRE: Final = 80e9
"""Parameters: 2.1 GB of 4-bit weights, as phones hold them; 20 GB of 16-bit weights, for cards of 24 GB; 40 GB of 4-bit
weights, for cards of 80 GB."""
LEAST_BYTES: Final = 0.5
"""Of a weight: what 4 bits are."""
MULTILINGUAL: Final = 8
"""Languages that the maker names, at the least."""


class Card(Struct, frozen=True):
    """What is trained on. `memory`: of one that the catalog gives none."""

    gpu: Gpu
    count: int
    memory: str | None
    stack: Stack | None


class Base(Struct, frozen=True, dict=True):
    """A checkpoint of the catalog and what can be trained of it on that card."""

    facts: ModelFacts
    release: Release
    card: Card

    @cached_property
    def _wish(self) -> Wish:
        card, facts = self.card, self.facts
        length = min(LENGTH, facts.context or LENGTH)
        named = facts.hub_id or facts.name
        return Wish(named, facts, card.gpu, card.memory, card.count, "sft", length, Path.cwd(), stack=card.stack)

    @cached_property
    def _compiled(self) -> dict[str, Compiled]:
        return {}

    def made(self, kind: str) -> Compiled:
        """The leanest recipe of that method."""
        if kind not in self._compiled:
            self._compiled[kind] = compiled(self._wish, {"method.kind": kind, **lean(self._wish, kind)})
        return self._compiled[kind]

    @cached_property
    def trains(self) -> bool:
        """Whether any method fits, the least demanding tried first."""
        return not self._hopeless and any(fits(self.made(kind)) for kind in reversed(METHODS))

    @property
    def _hopeless(self) -> bool:
        """Whether the cards together are smaller than its weights in 4 bit: nothing holds them in less."""
        room = self.card.gpu.memory * self.card.count
        return 0 < room < self.facts.params * LEAST_BYTES

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that fit."""
        return tuple(kind for kind in METHODS if fits(self.made(kind)))

    @property
    def shown(self) -> Compiled:
        """The first preferred that fits; where none does, the one that needs least."""
        found = next((self.made(kind) for kind in PREFERRED if kind in self.methods), None)
        return found or min(map(self.made, METHODS), key=_need)

    @property
    def footprint(self) -> Footprint | None:
        """What that weighs."""
        return self.shown.footprint if self.shown.valid else None

    @cached_property
    def elsewhere(self) -> tuple[Elsewhere, ...]:
        """Where it fits, if not here."""
        plan, weighed = self.shown.plan, self.footprint
        return elsewhere(plan, weighed.stack) if plan and weighed and not self.methods else ()


class Use(Struct, frozen=True):
    """`rule`: what a base must be, in words. `suits` says the same of one; `key`: of two, the smaller comes first."""

    name: str
    title: str
    rule: str
    order: str
    suits: Callable[[Base], bool]
    key: Callable[[Base], tuple[object, ...]]


class Shelf(Struct, frozen=True):
    """The bases of a use, best first; where none fits, the first that do not."""

    use: Use
    bases: tuple[Base, ...]
    fits: bool


def _need(made: Compiled) -> float:
    return made.footprint.high if made.valid and made.footprint else inf


def _newest(base: Base) -> tuple[object, ...]:
    """The newest first, unknown dates last; then licences without conditions, then the larger."""
    released = base.release.released or ""
    return (_backwards(released), base.release.commercial != "allowed", -base.facts.params)


def _most_languages(base: Base) -> tuple[object, ...]:
    return (-(base.release.languages or 0), *_newest(base))


def _backwards(text: str) -> tuple[int, ...]:
    """A key by which later dates come first, an empty one last."""
    return (*(-ord(char) for char in text), 0)


NEWEST: Final = "the newest first; of a day, licences without conditions, then the larger; one of each release"
USES: Final = (
    Use(
        "edge",
        "Edge, mobile",
        "up to 4.2 billion parameters: 2.1 GB in 4 bit",
        NEWEST,
        lambda base: base.facts.params <= EDGE,
        _newest,
    ),
    Use(
        "consumer",
        "Single consumer GPU",
        "4.2 to 10 billion parameters: up to 20 GB in 16 bit, which 24 GB serve",
        NEWEST,
        lambda base: EDGE < base.facts.params <= CONSUMER,
        _newest,
    ),
    Use(
        "datacentre",
        "Single data-centre GPU",
        "10 to 80 billion parameters: up to 40 GB in 4 bit, which 80 GB serve and train",
        NEWEST,
        lambda base: CONSUMER < base.facts.params <= CENTRE,
        _newest,
    ),
    Use(
        "multilingual",
        "Multilingual",
        "its maker names eight languages or more",
        "the most languages first; then the newest; one of each release",
        lambda base: (base.release.languages or 0) >= MULTILINGUAL,
        _most_languages,
    ),
    Use(
        "quality",
        "Maximum quality",
        "at least half the parameters of the largest that can be trained here: size is the one fact about quality that "
        "the catalog has",
        NEWEST,
        lambda _: True,
        _newest,
    ),
)


def shelves(card: Card, use: str | None = None, *, commercial: bool = False) -> tuple[Shelf, ...]:
    """The uses, or one of them. `commercial`: only bases whose licence is known to allow it, with conditions or not."""
    pool = tuple(item for item in _pool(card) if not commercial or item.release.commercial in ("allowed", "restricted"))
    return tuple(_shelf(each, pool, OF_ONE if use else SHOWN) for each in USES if use in (None, each.name))


def _pool(card: Card) -> Iterator[Base]:
    """Checkpoints that follow instructions, which most people start from; of the same weights one kind alone."""
    for facts in all_models():
        release = release_of(facts.name)
        if release and release.tuned != "base" and not facts.name.endswith("-bf16"):
            yield Base(facts, release, card)


def _shelf(use: Use, pool: Sequence[Base], most: int) -> Shelf:
    suited = sorted((base for base in pool if use.suits(base)), key=use.key)
    if use.name == "quality":
        largest = next((base for base in sorted(pool, key=_size) if base.trains), None)
        suited = [base for base in suited if largest and base.facts.params * 2 >= largest.facts.params]
    found = tuple(islice(_one_of_each(suited), most))
    return Shelf(use, found, True) if found else Shelf(use, _missed(suited), False)


def _size(base: Base) -> int:
    return -base.facts.params


def _one_of_each(ordered: Sequence[Base]) -> Iterator[Base]:
    """Of each release the largest that can be trained, in the order of the first of each."""
    groups: dict[str, list[Base]] = {}
    for base in ordered:
        groups.setdefault(base.release.group, []).append(base)
    for found in groups.values():
        trained = next((base for base in sorted(found, key=_size) if base.trains), None)
        if trained:
            yield trained


def _missed(ordered: Sequence[Base]) -> tuple[Base, ...]:
    """The smallest of the first releases."""
    groups = groupby(ordered, key=lambda base: base.release.group)
    return tuple(islice((max(found, key=_size) for _, found in groups), MISSED))
