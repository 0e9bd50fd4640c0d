"""Predictions against readings: each reading with the field of its kind, and whether the interval holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from msgspec import Struct

from bench.memory_compare import Compared
from bench.memory_errors import HEAD, Errors, cells, errors, table
from bench.memory_published import Published
from schemas.facts import GIB
from schemas.footprint import Footprint

KINDS = ("allocated", "reserved", "device")


class Reading(Struct, frozen=True):
    """One reading in bytes, the predictions of its kind, and the formula's interval for that kind.

    The interval is about what the driver reports; of reserved memory it is that without the context. Live tensors have
    none of their own.
    """

    name: str
    kind: str
    measured: float
    formula: int
    trace: int | None
    low: int
    high: int
    width: float
    confidence: str

    @property
    def error(self) -> float:
        """Of the formula."""
        return self.formula / self.measured - 1

    @property
    def trace_error(self) -> float | None:
        """Of the trace."""
        return None if self.trace is None else self.trace / self.measured - 1


def readings(row: Published, formula: Footprint, compared: Compared | None) -> Iterator[Reading]:
    """The readings of a published row."""
    traced = {"allocated": compared.trace.allocated, "reserved": compared.trace.reserved} if compared else {}
    for kind, size in row.readings.items():
        yield reading(row.row, kind, size * GIB, formula, traced.get(kind))


def reading(name: str, kind: str, measured: float, formula: Footprint, trace: int | None) -> Reading:
    """One reading beside its predictions."""
    outside = formula.parts.context if kind == "reserved" else 0
    return Reading(
        name=name,
        kind=kind,
        measured=measured,
        formula={"allocated": formula.allocated, "reserved": formula.reserved, "device": formula.device}[kind],
        trace=trace,
        low=formula.low - outside,
        high=formula.high - outside,
        width=(formula.high - formula.low) / formula.device,
        confidence=formula.confidence,
    )


def error_table(found: Sequence[Reading]) -> str:
    """Errors by kind of reading, of the trace and of the formula."""
    rows: list[tuple[str, ...]] = []
    for kind in KINDS:
        each = [item for item in found if item.kind == kind]
        rows += _row(f"{kind}, trace", errors(item.trace_error for item in each if item.trace_error is not None))
        rows += _row(f"{kind}, formula", errors(item.error for item in each))
    return table(("", *HEAD), rows)


def _row(name: str, summed: Errors | None) -> Iterator[tuple[str, ...]]:
    if summed:
        yield (name, *cells(summed))


def interval_table(found: Iterable[Reading]) -> str:
    """How often the interval holds what was reserved or reported, and how wide it is."""
    judged = [item for item in found if item.kind != "allocated"]
    rows: list[tuple[str, ...]] = []
    for name in ("high", "medium", "low"):
        each = [item for item in judged if item.confidence == name]
        if each:
            inside = sum(item.low <= item.measured <= item.high for item in each)
            under = sum(item.measured <= item.high for item in each)
            width = median(item.width for item in each)
            rows.append((name, str(len(each)), f"{inside} of {len(each)}", f"{under} of {len(each)}", f"{width:.0%}"))
    return table(("confidence", "n", "inside", "not above", "median width of the interval / device"), rows)


def reading_table(found: Iterable[Reading]) -> str:
    """Every reading."""
    head = ("run", "reading", "GiB", "trace", "formula", "interval")
    return table(head, (_line(item) for item in found))


def _line(item: Reading) -> tuple[str, ...]:
    trace = "–" if item.trace is None else f"{item.trace / GIB:.2f} ({item.trace_error:+.1%})"
    formula = f"{item.formula / GIB:.2f} ({item.error:+.1%})"
    between = "–" if item.kind == "allocated" else f"{item.low / GIB:.2f} to {item.high / GIB:.2f}, {item.confidence}"
    return (item.name, item.kind, f"{item.measured / GIB:.2f}", trace, formula, between)
