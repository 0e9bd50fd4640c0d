"""Predictions against readings: each reading with the field of its kind, and whether the interval holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from msgspec import Struct

from bench.memory_errors import HEAD, cells, errors, table
from bench.memory_published import Published
from schemas.facts import GIB
from schemas.footprint import Footprint

KINDS = ("allocated", "reserved", "device")
METHODS = ("trace", "formula")


class Prediction(Struct, frozen=True):
    """What one method says about one kind of reading, in bytes.

    The interval is about what the driver reports; of reserved memory it is that without the context. Live tensors have
    none of their own. `width`: of the interval, as a share of what the driver is said to report.
    """

    size: int
    low: int
    high: int
    width: float
    confidence: str


class Reading(Struct, frozen=True):
    """One reading in bytes, and what each method says: "trace" only where there is one, "formula" always."""

    name: str
    kind: str
    measured: float
    predicted: dict[str, Prediction]

    def error(self, method: str) -> float:
        """Of that method."""
        return self.predicted[method].size / self.measured - 1


def readings(row: Published, formula: Footprint, trace: Footprint | None) -> Iterator[Reading]:
    """The readings of a published row."""
    for kind, size in row.readings.items():
        yield reading(row.row, kind, size * GIB, formula, trace)


def reading(name: str, kind: str, measured: float, formula: Footprint, trace: Footprint | None) -> Reading:
    """One reading beside its predictions."""
    found = {"trace": trace, "formula": formula}
    return Reading(name, kind, measured, {method: _of(kind, each) for method, each in found.items() if each})


def _of(kind: str, found: Footprint) -> Prediction:
    outside = found.parts.context if kind == "reserved" else 0
    size = {"allocated": found.allocated, "reserved": found.reserved, "device": found.device}[kind]
    width = (found.high - found.low) / found.device
    return Prediction(size, found.low - outside, found.high - outside, width, found.confidence)


def error_table(found: Sequence[Reading]) -> str:
    """Errors by kind of reading and method."""
    rows: list[tuple[str, ...]] = []
    for kind in KINDS:
        for method in METHODS:
            summed = errors(item.error(method) for item in found if item.kind == kind and method in item.predicted)
            rows += [(f"{kind}, {method}", *cells(summed))] if summed else []
    return table(("", *HEAD), rows)


def interval_table(found: Sequence[Reading]) -> str:
    """How often the interval holds what was reserved or reported, and how wide it is."""
    rows: list[tuple[str, ...]] = []
    for method in METHODS:
        for confidence in ("high", "medium", "low"):
            each = [
                (item.measured, item.predicted[method])
                for item in found
                if item.kind != "allocated"
                and method in item.predicted
                and item.predicted[method].confidence == confidence
            ]
            rows += [(f"{method}, {confidence} confidence", *_coverage(each))] if each else []
    return table(("", "n", "inside", "not above", "median width of the interval / device"), rows)


def _coverage(each: Sequence[tuple[float, Prediction]]) -> tuple[str, ...]:
    inside = sum(said.low <= measured <= said.high for measured, said in each)
    under = sum(measured <= said.high for measured, said in each)
    width = median(said.width for _, said in each)
    return (str(len(each)), f"{inside} of {len(each)}", f"{under} of {len(each)}", f"{width:.0%}")


def reading_table(found: Iterable[Reading]) -> str:
    """Every reading."""
    head = ("run", "reading", "GiB", *(name for method in METHODS for name in (method, f"interval of the {method}")))
    return table(head, (_line(item) for item in found))


def _line(item: Reading) -> tuple[str, ...]:
    shown = (cell for method in METHODS for cell in _said(item, method))
    return (item.name, item.kind, f"{item.measured / GIB:.2f}", *shown)


def _said(item: Reading, method: str) -> tuple[str, str]:
    said = item.predicted.get(method)
    if said is None:
        return ("–", "–")
    between = "–" if item.kind == "allocated" else f"{said.low / GIB:.2f} to {said.high / GIB:.2f}, {said.confidence}"
    return (f"{said.size / GIB:.2f} ({item.error(method):+.1%})", between)
