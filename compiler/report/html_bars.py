"""Stacked bars of the page: where each part begins and ends, on one scale with the card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from compiler.memory.stacks import profile
from compiler.report.alternatives import Side
from compiler.report.memory_text import size
from schemas.facts import GIB
from schemas.footprint import Footprint, Parts

MIB: Final = 1 << 20
LABELLED: Final = 12.0
"""Percent of the bar from which a segment has room for its name."""
PHASES: Final = {
    "load": "load",
    "step": "forward and backward",
    "optimizer": "optimizer's step",
    "eval": "evaluation",
    "merge": "merge",
}
Amounts = tuple[tuple[str, int], ...]
"""Name of a part → bytes."""


class Segment(Struct, frozen=True):
    """A part of a bar. `start`, `width`: percent of the scale."""

    name: str
    amount: int
    start: float
    width: float

    @property
    def labelled(self) -> bool:
        """Whether its name has room in it."""
        return self.width >= LABELLED


class Bar(Struct, frozen=True):
    """`interval`: percent of its start and of its width; None where the figure has none. `words`: the bar's text
    alternative."""

    label: str
    segments: tuple[Segment, ...]
    total: int
    interval: tuple[float, float] | None
    words: str


class Tick(Struct, frozen=True):
    """A figure under the bars. `at`: percent."""

    at: float
    words: str


class Chart(Struct, frozen=True):
    """Bars on one scale. `capacity`: percent at which the card ends; None where it is unknown."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    capacity: float | None


def phase_chart(footprint: Footprint) -> Chart:
    """A bar for each phase, of live tensors and the context; the last one is the card as the driver sees it."""
    scale = _scale([footprint])
    bars = [_phase(footprint, name, scale) for name in PHASES if getattr(footprint.phases, name)]
    return Chart((*bars, _device("the card", footprint, scale)), _ticks(scale), _capacity(footprint, scale))


def stack_chart(found: Sequence[Side]) -> Chart:
    """A bar for each stack."""
    scale = _scale([side.footprint for side in found])
    bars = tuple(_device(profile(side.stack).title, side.footprint, scale) for side in found)
    return Chart(bars, _ticks(scale), _capacity(found[0].footprint, scale))


def method_chart(found: Sequence[tuple[str, Footprint]]) -> Chart:
    """A bar for each method, by its name."""
    scale = _scale([footprint for _, footprint in found])
    bars = tuple(_device(label, footprint, scale) for label, footprint in found)
    return Chart(bars, _ticks(scale), _capacity(found[0][1], scale))


def amounts(parts: Parts) -> Amounts:
    """The parts that there are."""
    return tuple((name, getattr(parts, name)) for name in parts.__struct_fields__ if getattr(parts, name))


def _phase(footprint: Footprint, name: str, scale: int) -> Bar:
    parts, context = footprint.by_phase.get(name), footprint.parts.context
    live = amounts(parts) if parts else (("live", getattr(footprint.phases, name)),)
    return _bar(PHASES[name], (*live, ("context", context)), scale)


def _device(label: str, footprint: Footprint, scale: int) -> Bar:
    interval = (_percent(footprint.low, scale), _percent(footprint.high - footprint.low, scale))
    between = f"; between {size(footprint.low)} and {size(footprint.high)}"
    return _bar(label, amounts(footprint.parts), scale, interval, between)


def _bar(label: str, parts: Amounts, scale: int, interval: tuple[float, float] | None = None, between: str = "") -> Bar:
    total = sum(amount for _, amount in parts)
    listed = ", ".join(f"{name} {size(amount)}" for name, amount in parts)
    return Bar(label, tuple(_segments(parts, scale)), total, interval, f"{label}: {size(total)}: {listed}{between}")


def _segments(parts: Amounts, scale: int) -> Iterator[Segment]:
    start = 0
    for name, amount in parts:
        yield Segment(name, amount, _percent(start, scale), _percent(amount, scale))
        start += amount


def _scale(footprints: Sequence[Footprint]) -> int:
    """Bytes of the whole width: the card, or what is needed where that is more."""
    most = max(max(item.high, item.device, item.capacity or 0) for item in footprints)
    return max(int(most * 1.03), 1)


def _capacity(footprint: Footprint, scale: int) -> float | None:
    return None if footprint.capacity is None else _percent(footprint.capacity, scale)


def _ticks(scale: int) -> tuple[Tick, ...]:
    """Four to nine round figures: 1, 2 or 5 times a power of ten."""
    unit, word = (GIB, "GiB") if scale >= GIB else (MIB, "MiB")
    steps = (factor * 10**power for power in range(-1, 6) for factor in (1, 2, 5))
    step = next(item for item in steps if scale / unit / item < 9)
    count = int(scale / unit / step)
    return tuple(Tick(_percent(index * step * unit, scale), f"{index * step:g} {word}") for index in range(count + 1))


def _percent(amount: float, scale: int) -> float:
    return round(100 * amount / scale, 3)
