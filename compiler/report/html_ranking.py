"""What every card costs against how long it takes there: a picture, and the figures in a table below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, log10
from typing import Final

from msgspec import Struct

from compiler.report.alternatives import Option
from compiler.report.ranking import SHOWN, Place, Ranking, Refusal, ranking
from compiler.report.time_words import hours_words, usd_words
from schemas.plan import Plan, leaves

ROOM: Final = 0.06
"""What is left free at each edge of the picture, as a share of it."""
WIDE: Final = 0.8
HIGH: Final = 2.6
"""Percent of the picture that a letter of a name is wide, and half of it high."""
LATE: Final = 55
"""Percent from the left beyond which names stand to the left of their points."""
Box = tuple[float, float, float, float]
"""Left, right, bottom and top, in percent."""
MOST: Final = 6
"""Figures on an axis."""


class Point(Struct, frozen=True):
    """A card in the picture. `x`, `y`: percent from the left and from the bottom. `best`: none is both cheaper and
    faster. `named`: its name stands beside it; `late`: to its left."""

    name: str
    x: float
    y: float
    best: bool
    own: bool
    named: bool
    late: bool
    words: str


class Tick(Struct, frozen=True):
    """A round figure on an axis. `at`: percent."""

    at: float
    words: str


class Cloud(Struct, frozen=True):
    """`words`: the picture's text alternative. Both axes grow by factors: cards differ by tens of times."""

    points: tuple[Point, ...]
    hours: tuple[Tick, ...]
    usd: tuple[Tick, ...]
    words: str


class Elsewhere(Struct, frozen=True):
    """`cloud`: None where hours or prices are not known of at least two cards. `columns`: leaves that differ between
    cards, with their names."""

    ranking: Ranking
    cloud: Cloud | None
    columns: dict[str, str]

    def settings(self, place: Place) -> list[object]:
        """A card's values of the columns."""
        values = leaves(place.plan)
        return [values[path] for path in self.columns]

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Cards that cannot train it."""
        return self.ranking.refusals


def elsewhere(plan: Plan, others: Sequence[Option], tokens: int | None) -> Elsewhere:
    """Every card, ranked."""
    found = ranking(plan, others, tokens)
    return Elsewhere(found, _cloud(plan, found), {path: SHOWN[path] for path in found.varying})


def _cloud(plan: Plan, found: Ranking) -> Cloud | None:
    places = [place for place in found.places if place.estimate.hours and place.estimate.usd]
    if len(places) < 2:
        return None
    across = _scale([place.estimate.hours or 0 for place in places])
    up = _scale([place.estimate.usd or 0 for place in places])
    cheapest, fastest = places[0], min(places, key=lambda place: place.by_time or 0)
    words = (
        f"cost against time of {len(places)} cards, also in the table below; "
        f"cheapest {_name(cheapest)}, {_words(cheapest)}; fastest {_name(fastest)}, {_words(fastest)}"
    )
    return Cloud(_points(places, across, up, plan), tuple(_ticks(across, " h")), tuple(_ticks(up, " USD")), words)


class _Scale(Struct, frozen=True):
    """From which power of ten to which."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        """Percent."""
        share = (log10(value) - self.low) / (self.high - self.low)
        return round(100 * (ROOM + (1 - 2 * ROOM) * share), 3)


def _scale(values: Sequence[float]) -> _Scale:
    low, high = log10(min(values)), log10(max(values))
    return _Scale(low, high) if high - low > 0.1 else _Scale(low - 0.1, high + 0.1)


def _ticks(scale: _Scale, unit: str) -> Iterator[Tick]:
    """Figures of 1, 2 and 5 times a power of ten; where these are many, powers alone."""
    powers = range(floor(scale.low), ceil(scale.high) + 1)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [value for value in values if scale.low <= log10(value) <= scale.high]
    if len(inside) > MOST:
        tens = [value for value in inside if log10(value).is_integer()]
        inside = tens if len(tens) > 1 else inside[:: ceil(len(inside) / MOST)]
    yield from (Tick(scale(value), f"{value:g}{unit}") for value in inside)


def _points(places: Sequence[Place], across: _Scale, up: _Scale, plan: Plan) -> tuple[Point, ...]:
    """The cards; those that matter are named first, and others where there is room for their names."""
    spots = [(across(place.estimate.hours or 0), up(place.estimate.usd or 0)) for place in places]
    best = [not any(x < at[0] and y < at[1] for x, y in spots) for at in spots]
    own = [place.option.gpu == plan.hardware.gpu for place in places]
    taken: list[Box] = [(x - 1, x + 1, y - 2, y + 2) for x, y in spots]
    named = dict[int, bool]()
    for at in sorted(range(len(places)), key=lambda at: not (best[at] or own[at])):
        box = _box(_name(places[at]), *spots[at])
        named[at] = best[at] or own[at] or not any(_meet(box, other) for other in taken)
        if named[at]:
            taken.append(box)
    return tuple(
        Point(_name(place), *spots[at], best[at], own[at], named[at], spots[at][0] > LATE, _title(place))
        for at, place in enumerate(places)
    )


def _box(name: str, x: float, y: float) -> Box:
    """What a name beside a point takes."""
    wide = 2 + WIDE * len(name)
    return (x - wide, x - 1.1, y - HIGH, y + HIGH) if x > LATE else (x + 1.1, x + wide, y - HIGH, y + HIGH)


def _meet(one: Box, other: Box) -> bool:
    """Whether two boxes have anything in common."""
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _title(place: Place) -> str:
    return f"{_name(place)}: {_words(place)}"


def _name(place: Place) -> str:
    return place.option.gpu or "the card"


def _words(place: Place) -> str:
    given = place.estimate
    return f"{hours_words(given.time) if given.time else '-'}, {usd_words(given.price) if given.price else '-'}"
