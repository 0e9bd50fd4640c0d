"""Curves of a run as pictures: where each point stands, on which axes, and the same in words and in figures.

Everything is a share of the picture, so that it is as wide as there is room, and its words keep their size.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, floor, isfinite, log10

Points = list[tuple[float, float]]
"""Steps and values, in order."""

SIDE = 1000
"""Units of a picture's side."""
MOST = 240
"""Points of a line; of more, neighbours are one."""
FEW = 30
"""Points from which a line is drawn smoothed as well."""
SLICES = 60
"""Stretches that say their figures when they are pointed at."""
LISTED = 24
"""Rows of the table."""
FINE = 1e-5
"""The share of a value that can be read from an axis at least: what differs by less is drawn as a level line."""
TICKS = 6
"""Decades that are named, at most."""
STEEP = 25
"""Times that values differ from which their axis may be logarithmic."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line, or points on it. `style`: how it is drawn; `loud`: whether the table and the words have it."""

    name: str
    style: str
    points: Points
    dots: bool = False
    loud: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a step."""

    step: float
    words: str
    style: str = "mark"


@dataclass(frozen=True, slots=True)
class Limit:
    """A line from side to side at a value."""

    value: float
    name: str
    style: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A figure on an axis. `at`: percent from the left, or from the top."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A series in place. `path` in units of the picture, `dots` in percent from its upper left corner."""

    name: str
    style: str
    path: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of steps, in percent from the left, and its figures."""

    start: float
    width: float
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, its text alternative, and its figures as a table. `mean`: readings of which a point is."""

    key: str
    title: str
    unit: str
    words: str
    lines: tuple[Drawn, ...]
    up: tuple[Tick, ...]
    across: tuple[Tick, ...]
    marks: tuple[tuple[float, Mark], ...]
    limits: tuple[tuple[float, Limit], ...]
    slices: tuple[Slice, ...]
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    logarithmic: bool
    mean: int


class Axis:
    """Where values stand between two round ones."""

    def __init__(self, values: Sequence[float], *, zero: bool = False, steep: bool = False) -> None:
        low, high = min(values), max(values)
        # A few points that lie apart do not bend the axis.
        middle = sorted(values)[len(values) // 20 : len(values) - len(values) // 20]
        self.logarithmic = steep and low > 0 and middle[-1] / middle[0] > STEEP
        self.ticks = _decades(low, high) if self.logarithmic else _round(min(low, 0) if zero else low, high)
        self._first, self._last = self._scaled(self.ticks[0]), self._scaled(self.ticks[-1])

    def __call__(self, value: float) -> float:
        """The share of the way from the first tick to the last."""
        return (self._scaled(value) - self._first) / (self._last - self._first)

    def _scaled(self, value: float) -> float:
        return log10(value) if self.logarithmic else value


def _round(low: float, high: float) -> list[float]:
    """Four to six values around these: multiples of 1, 2 or 5 times a power of ten."""
    size = max(abs(low), abs(high))
    spread = max(high - low, size * FINE) if high > low else size * 0.1 or 1.0
    power = 10.0 ** floor(log10(spread / 5))
    step = next(factor * power for factor in (1, 2, 5, 10) if spread / (factor * power) <= 5)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [at * step for at in range(first, max(last, first + 1) + 1)]


def _decades(low: float, high: float) -> list[float]:
    first, last = floor(log10(low)), ceil(log10(high))
    apart = max(ceil((last - first) / TICKS), 1)
    return [10.0**power for power in range(first, max(last, first + 1) + apart, apart)]


def _words(ticks: Sequence[float], shown: Callable[[float], str]) -> list[str]:
    """Of an axis: with as many digits as it takes to tell each figure from the next."""
    words = [shown(tick) for tick in ticks]
    if len(set(words)) == len(words):
        return words
    digits = max(-floor(log10(ticks[1] - ticks[0]) + 1e-9), 0)
    return [f"{tick:,.{digits}f}" for tick in ticks]


def chart(
    key: str,
    title: str,
    unit: str,
    series: Iterable[Series],
    *,
    end: float,
    shown: Callable[[float], str],
    marks: Sequence[Mark] = (),
    limits: Sequence[Limit] = (),
    zero: bool = False,
    steep: bool = False,
) -> Chart | None:
    """None where nothing was read. `end`: the last step; `shown`: a value in words; `steep`: whether the axis may be
    logarithmic."""
    whole = [line for line in map(_finite, series) if line.points]
    if not whole:
        return None
    found = [replace(line, points=line.points if line.dots else thinned(line.points)) for line in whole]
    values = [value for line in found for _, value in line.points] + [limit.value for limit in limits]
    up, right = Axis(values, zero=zero, steep=steep), max(end, 1)
    loud = [line for line in found if line.loud]
    return Chart(
        key,
        title,
        unit,
        f"{title}. " + "; ".join(_said(line, shown) for line in loud) + ".",
        tuple(_drawn(line, up, right) for line in found),
        tuple(
            Tick(_percent(1 - up(value)), words) for value, words in zip(up.ticks, _words(up.ticks, shown), strict=True)
        ),
        tuple(Tick(_percent(step / right), f"{step:,.0f}") for step in _steps(right)),
        tuple((_percent(mark.step / right), mark) for mark in marks),
        tuple((_percent(1 - up(limit.value)), limit) for limit in limits),
        tuple(_slices(loud, right, shown)),
        tuple(line.name for line in loud),
        tuple(_rows(loud, shown)),
        up.logarithmic,
        max((_together(line.points) for line in whole if not line.dots), default=1),
    )


def smoothed(points: Points) -> Points:
    """Each point the mean of itself and its neighbours, of their logarithms where values lie far apart; nothing where
    there are few."""
    if len(points) < FEW:
        return []
    values = [value for _, value in points]
    steep = min(values) > 0 and max(values) / min(values) > STEEP
    scaled = [log10(value) for value in values] if steep else values
    reach = max(len(points) // 50, 2)
    windows = (scaled[max(at - reach, 0) : at + reach + 1] for at in range(len(points)))
    means = [sum(window) / len(window) for window in windows]
    return [(step, 10**mean if steep else mean) for (step, _), mean in zip(points, means, strict=True)]


def thinned(points: Points) -> Points:
    """At most `MOST` points; several that follow each other become their mean."""
    size = _together(points)
    groups = [points[at : at + size] for at in range(0, len(points), size)] if size > 1 else []
    means = [tuple(sum(values) / len(group) for values in zip(*group, strict=True)) for group in groups]
    return [(mean[0], mean[1]) for mean in means] or points


def _together(points: Points) -> int:
    return max(ceil(len(points) / MOST), 1)


def _finite(line: Series) -> Series:
    return replace(line, points=[(step, value) for step, value in line.points if isfinite(value)])


def _drawn(line: Series, up: Axis, right: float) -> Drawn:
    places = [(step / right, 1 - min(max(up(value), 0), 1)) for step, value in line.points]
    path = "L".join(f"{SIDE * x:.1f} {SIDE * y:.1f}" for x, y in places)
    dots = tuple((_percent(x), _percent(y)) for x, y in places) if line.dots or len(places) == 1 else ()
    return Drawn(line.name, line.style, f"M{path}", dots)


def _said(line: Series, shown: Callable[[float], str]) -> str:
    """First, least, most and last."""
    values = [value for _, value in line.points]
    if len(values) == 1:
        return f"{line.name}: {shown(values[0])}"
    ends = f"{line.name}: from {shown(values[0])} to {shown(values[-1])}"
    return f"{ends}, between {shown(min(values))} and {shown(max(values))}"


def _steps(right: float) -> list[float]:
    """Round steps that lie in the picture. There are no halves of them."""
    return [step for step in _round(0, right) if step <= right and step == round(step)]


def _slices(lines: Sequence[Series], right: float, shown: Callable[[float], str]) -> Iterator[Slice]:
    steps = sorted({step for line in lines for step, _ in line.points})
    chosen = steps[:: ceil(len(steps) / SLICES)]
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(chosen)), right]
    for step, (start, end) in zip(chosen, pairwise(edges), strict=True):
        yield Slice(_percent(start / right), _percent((end - start) / right), _figures(lines, step, end, shown))


def _figures(lines: Sequence[Series], step: float, end: float, shown: Callable[[float], str]) -> str:
    said = [f"{line.name} {shown(value)}" for line in lines if (value := _at(line, step, end)) is not None]
    return f"step {step:,.0f}: " + ", ".join(said)


def _at(line: Series, start: float, end: float) -> float | None:
    """The first value from a step on, before another one."""
    return next((value for step, value in line.points if start <= step < max(end, start + 0.5)), None)


def _rows(lines: Sequence[Series], shown: Callable[[float], str]) -> Iterator[tuple[str, ...]]:
    """Steps spread over the run, the first and the last among them, and all of series that are points."""
    steps = sorted({step for line in lines for step, _ in line.points})
    dotted = {step for line in lines if line.dots for step, _ in line.points}
    apart = max(ceil(len(steps) / LISTED), 1)
    few = sorted(dotted) if len(dotted) <= LISTED else []
    chosen = sorted({*steps[::apart], *few, *steps[-1:]})
    for step in chosen:
        found = (dict(line.points).get(step) for line in lines)
        yield (f"{step:,.0f}", *("" if value is None else shown(value) for value in found))


def _percent(share: float) -> float:
    return round(100 * share, 2)
