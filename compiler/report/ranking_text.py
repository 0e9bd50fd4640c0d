"""`ftc plan --gpu all` for a person: what every card costs and how long it takes, on about one screen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Final

from msgspec import Struct

from compiler.report.alternatives import Option
from compiler.report.memory_text import card, size
from compiler.report.paint import Paint, printable
from compiler.report.ranking import SHOWN, Place, Ranking, Refusal, ranking
from compiler.report.table import table
from compiler.report.time_words import digits
from schemas.plan import Plan, leaves

WIDTH: Final = 100
TOGETHER: Final = "\0"
"""A space at which no line is broken."""


class Unit(Struct, frozen=True):
    """What times are counted in, and how many of it are an hour."""

    name: str
    short: str
    an_hour: float


HOURS: Final = Unit("hours", "h", 1.0)
MINUTES: Final = Unit("minutes", "min", 60.0)
LONG: Final = 3.0
"""Hours from which times are counted in hours."""
DEAR: Final = 0.05
"""USD below which no run is compared by its cost: prices of a million tokens say more then."""


def ranking_text(plan: Plan, others: Sequence[Option], paint: Paint, tokens: int | None) -> str:
    """Cards with a price in a table, the cheapest first; the others in a line or two."""
    found = ranking(plan, others, tokens)
    several = len({item.stack for item in others}) > 1
    priced = [place for place in found.places if place.by_cost]
    timed = _unit(priced)
    lines = [paint("elsewhere", bold=True) + ", what is left to the compiler decided anew for each card"]
    if priced:
        rows = [_head(found, timed=timed), *(_row(place, found, timed=timed, several=several) for place in priced)]
        lines += [f"  {line}" for line in table(rows).splitlines()]
    for head, words in _rest(found, timed=timed, several=several):
        lines += wrap(f"{head}: {words}", WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines).replace(TOGETHER, " ") + "\n"


def _unit(priced: Sequence[Place]) -> Unit | None:
    """What the longest run is counted in; None where the costs of runs are unknown, or too small to be compared."""
    known = [(place.estimate.price, place.estimate.time) for place in priced]
    if max((price.middle for price, _ in known if price), default=0) < DEAR:
        return None
    return HOURS if max((time.middle for _, time in known if time), default=0) >= LONG else MINUTES


def _head(found: Ranking, *, timed: Unit | None) -> list[str]:
    figures = ["USD", "between", timed.name, "between"] if timed else ["USD a million tokens", "tokens a second"]
    return ["", "card", *figures, "by time", *(SHOWN[path] for path in found.varying), "memory"]


def _row(place: Place, found: Ranking, *, timed: Unit | None, several: bool) -> list[str]:
    given, values = place.estimate, leaves(place.plan)
    if timed:
        ranges = [(given.price, "{:,.2f}".format), (given.time and given.time.times(timed.an_hour), digits)]
        figures = [
            word
            for each, say in ranges
            for word in ((say(each.middle), f"{say(each.low)} to {say(each.high)}") if each else ("-", "-"))
        ]
    else:
        speed = f"{given.speed.middle:,.0f}" if given.speed else "-"
        figures = ["-" if place.rate is None else f"{place.rate:.2f}", speed]
    decided = [_word(values[path]) for path in found.varying]
    need, room = place.footprint.device, place.footprint.capacity
    memory = size(need) if room is None else f"{size(need)[:-4]} of {size(room)}"
    tight = ", tight" if place.footprint.verdict == "tight" else ""
    name = _name(place.option, several=several)
    return [str(place.by_cost), name, *figures, str(place.by_time), *decided, f"{memory}{tight}"]


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else printable(str(value))


def _rest(found: Ranking, *, timed: Unit | None, several: bool) -> Iterator[tuple[str, str]]:
    """What has no price, does not fit, or is refused: a heading and the cards."""

    def listed(places: Sequence[Place]) -> str:
        return ", ".join(f"{_name(place.option, several=several)}{_speed(place, timed=timed)}" for place in places)

    unpriced = [place for place in found.places if not place.by_cost and place.by_time]
    if unpriced:
        yield "no price is known, the fastest first", listed(unpriced)
    unknown = [place for place in found.places if not place.by_time]
    if unknown:
        yield "fits, and its speed is not known", listed(unknown)
    lacking = [item for item in found.refusals if item.missing is not None]
    if lacking:
        names = (
            f"{_name(item.option, several=several)}{TOGETHER}({size(item.missing or 0).replace(' ', TOGETHER)})"
            for item in lacking
        )
        yield "does not fit, with what is missing", ", ".join(names)
    for why, names in _refused(found.refusals, several=several).items():
        yield f"refused, as {why}", ", ".join(names)


def _speed(place: Place, *, timed: Unit | None) -> str:
    """How long it takes there, or how fast it is."""
    given = place.estimate
    if timed and given.time:
        return f"{TOGETHER}{digits(given.time.middle * timed.an_hour)}{TOGETHER}{timed.short}"
    return f"{TOGETHER}{given.speed.middle:,.0f}/s" if given.speed else ""


def _refused(found: Sequence[Refusal], *, several: bool) -> dict[str, list[str]]:
    """Cards by what is wrong with the recipe on them."""
    groups = defaultdict[str, list[str]](list)
    for item in found:
        if item.missing is None:
            groups[printable(item.why)].append(_name(item.option, several=several))
    return groups


def _name(item: Option, *, several: bool) -> str:
    name = card(item.compiled.plan) or item.gpu or "-"
    return f"{name} ({item.stack})" if several else name
