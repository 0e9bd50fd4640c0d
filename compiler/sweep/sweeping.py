"""A recipe and its axes → points, each taken through the pipeline: what it needs, or why it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from compiler import overrides
from compiler.build import Compiled, Options, all_sets, compile_source
from compiler.duration.estimate import Estimate, estimate
from compiler.overrides import override
from compiler.source import Source, parse
from compiler.sweep import axes as matrix_axes
from compiler.sweep.axes import Axis, read_axes
from compiler.sweep.points import Point, base_of, common, points_of
from compiler.sweep.sharing import Shared
from schemas.diagnostic import Diagnostic, Span
from schemas.footprint import Footprint

MOST_PLANNED: Final = 100_000
MOST_BUILT: Final = 1_000
"""Points of a sweep: more are a mistake, or would fill a disk with folders."""

State = Literal["fits", "tight", "unknown", "does_not_fit", "refused"]
"""Of a point: the memory verdict, or that the language or the target refuses it."""


class Sweep(Struct, frozen=True):
    """`matrix`: the options as written. `options`: what all points are compiled with. `source`: the recipe as read.
    `sets`: what is set in every point, before its own values. `base`: the recipe's name, None where that is wrong."""

    name: str
    text: str
    folder: Path
    matrix: tuple[str, ...]
    options: Options
    source: Source
    sets: tuple[str, ...]
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    base: str | None


class Outcome(Struct, frozen=True):
    """What became of a point. `footprint` and `time`: None where it is refused."""

    point: Point
    state: State
    diagnostics: tuple[Diagnostic, ...]
    footprint: Footprint | None
    time: Estimate | None

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """Why it is refused."""
        return tuple(item for item in self.diagnostics if item.level == "error")


def sweep_of(
    name: str, text: str, folder: Path, matrix: tuple[str, ...], options: Options, *, most: int
) -> tuple[Sweep, list[Diagnostic]]:
    """The sweep, and what is wrong with its axes: then it has no points."""
    source, given = parse(text, name), all_sets(options)
    axes, found = read_axes(matrix, source, given)
    sets = common(axes, given)
    count = prod(len(axis.values) for axis in axes)
    if not found and count > most:
        found = [_too_many(axes, count, most)]
    points = () if found else points_of(axes, source, sets)
    return Sweep(name, text, folder, matrix, options, source, sets, axes, points, base_of(source, sets)), found


def compiled_points(sweep: Sweep, shared: Shared | None = None) -> Iterator[tuple[Point, Compiled]]:
    """Every point through the pipeline, in order. Nothing is emitted unless the options say so."""
    shared = shared or Shared()
    for point in sweep.points:
        yield point, compile_source(override(sweep.source, point.sets), sweep.folder, sweep.options, shared.steps)


def outcome(sweep: Sweep, point: Point, compiled: Compiled) -> Outcome:
    """How far a point came."""
    said = tuple(_of_axis(item, sweep, point) for item in compiled.diagnostics)
    if compiled.footprint is None or compiled.plan is None:
        return Outcome(point, "refused", said, None, None)
    time = estimate(compiled.plan, compiled.footprint)
    return Outcome(point, compiled.footprint.verdict, said, compiled.footprint, time)


def outcomes(sweep: Sweep) -> tuple[Outcome, ...]:
    """All of them, planned only."""
    return tuple(outcome(sweep, point, compiled) for point, compiled in compiled_points(sweep))


def _too_many(axes: tuple[Axis, ...], count: int, most: int) -> Diagnostic:
    sizes = " x ".join(str(len(axis.values)) for axis in axes)
    last = axes[-1]
    message = f"{sizes} values make {count:,} points, and {most:,} are the most here"
    span = Span(last.number, 1, last.number, len(last.key) + 1)
    hint = "leave out values or an axis; `ftc plan --matrix` takes more points than a build or a run"
    return Diagnostic("FTC355", "error", message, matrix_axes.FILE, span, last.key, hint)


def _of_axis(item: Diagnostic, sweep: Sweep, point: Point) -> Diagnostic:
    """A finding about a value that an axis set, at its place in `--matrix`. Other options keep theirs."""
    if item.file != overrides.FILE:
        return item
    index = item.span.line - 1 - len(sweep.sets)
    if not 0 <= index < len(sweep.axes):
        return item
    axis = sweep.axes[index]
    value = next(value for value in axis.values if value.text == point.values[axis.key])
    apart = value.column - len(axis.key) - 2
    own, before = item.span, len(axis.key) + 1
    moved = Span(axis.number, _shifted(own.column, before, apart), axis.number, _shifted(own.end_column, before, apart))
    return replace(item, file=matrix_axes.FILE, span=moved)


def _shifted(column: int, before: int, by: int) -> int:
    """A column of `key=value` as one of the axis' option: what stands in the key stays."""
    return column + by if column > before else column
