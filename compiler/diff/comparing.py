"""What differs between sides: the leaves of their plans, what follows from them, and what the tools make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Final

from msgspec import Struct

from backends import load
from backends.base import pattern
from compiler.diff.sides import Side
from compiler.duration.estimate import estimate
from compiler.memory.saved import trained
from schemas.diagnostic import Diagnostic
from schemas.footprint import Parts
from schemas.plan import SourcePlan, is_sources, leaves
from schemas.support import Key

BESIDE: Final = ("name", "output.dir", "logging.project")
"""Leaves that name a run and its place: with others the run is the same."""
UNSAID: Final = "-"
"""A leaf that this side does not have: of another method, or of a source that is not there."""
SAME_CONTENT: Final = "the same rows"
OTHER_CONTENT: Final = "other rows"


class Row(Struct, frozen=True):
    """Something that differs. `values` and `why`: one for each side; `path`: the leaf, or what it is called."""

    path: str
    values: tuple[object, ...]
    why: tuple[str | None, ...]
    note: str | None = None


class Told(Struct, frozen=True):
    """What a side's tool cannot do of its plan, or does otherwise."""

    side: int
    found: Diagnostic


class Compared(Struct, frozen=True):
    """`leaves` in the order of the plan. `beside`: names and places. `follows`: figures, in their units. `words`: what
    the tools call an implementation. `told`: by side."""

    leaves: tuple[Row, ...]
    beside: tuple[Row, ...]
    follows: tuple[Row, ...]
    words: tuple[Row, ...]
    told: tuple[Told, ...]

    @property
    def same(self) -> bool:
        """Whether the runs do the same."""
        return not (self.leaves or self.words or self.told)


def compare(sides: Sequence[Side]) -> Compared:
    """The sides beside each other."""
    rows = tuple(_leaves(sides))
    return Compared(
        leaves=tuple(row for row in rows if row.path not in BESIDE),
        beside=tuple(row for row in rows if row.path in BESIDE),
        follows=tuple(_follows(sides)),
        words=tuple(_words(sides)),
        told=tuple(_told(sides)),
    )


def _leaves(sides: Sequence[Side]) -> Iterator[Row]:
    """Leaves of which the sides have different values, in the order of the plan."""
    plans = [leaves(side.plan) for side in sides]
    paths = list(dict.fromkeys(path for plan in plans for path in plan))
    order = {path.split(".")[0]: at for at, path in reversed(list(enumerate(plans[0])))}
    for path in sorted(paths, key=lambda item: order.get(item.split(".")[0], len(order))):
        values = tuple(plan.get(path, UNSAID) for plan in plans)
        if all(_alike(values[0], value) for value in values[1:]) or _only_absent(values):
            continue
        note = _content(path, sides)
        if note == SAME_CONTENT:
            continue
        yield Row(path, values, tuple(_because(path, side) for side in sides), note)


def _only_absent(values: tuple[object, ...]) -> bool:
    """Off on one side, and no leaf of the other's."""
    return all(value in (None, UNSAID, ()) for value in values)


def _alike(left: object, right: object) -> bool:
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _because(path: str, side: Side) -> str | None:
    """Why it was decided so, where the recipe left it open."""
    by_path = {decision.path: decision.because for decision in side.plan.decisions}
    return by_path.get(path) or by_path.get(path.replace("[0]", ""))


def _content(path: str, sides: Sequence[Side]) -> str | None:
    """Of paths of files: whether the rows are the same."""
    if not path.startswith(("data.train[", "data.validation[")) or not path.endswith("].path"):
        return None
    marks = [_mark(path, side) for side in sides]
    if any(mark is None for mark in marks):
        return None
    return SAME_CONTENT if len(set(marks)) == 1 else OTHER_CONTENT


def _mark(path: str, side: Side) -> str | None:
    """A checksum of what a local source holds; None where it is none, or cannot be read."""
    what, _, rest = path.partition("[")
    number = int(rest.partition("]")[0])
    listed = side.plan.data.train if what == "data.train" else side.plan.data.validation
    sources = listed if is_sources(listed) else ()
    if number >= len(sources) or not sources[number].local:
        return None
    from compiler.data.files import expand

    files = expand(sources[number].path, Path("/"))
    digest = sha256()
    try:
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    except OSError:
        return None
    return digest.hexdigest() if files else None


# --- what follows


def _follows(sides: Sequence[Side]) -> Iterator[Row]:
    """Figures that come of the plans; those that are the same everywhere are left out."""
    for name, figure in FIGURES.items():
        values = tuple(figure(side) for side in sides)
        if len(set(values)) > 1:
            yield Row(name, values, (None,) * len(sides))


def _steps(side: Side) -> object:
    """Of the whole run; None where it is counted in epochs of rows that are packed, or not lines of files here."""
    plan = side.plan
    if plan.training.max_steps or plan.data.packing or not plan.training.epochs:
        return plan.training.max_steps
    counts = [_lines(source) for source in plan.data.train]
    held = plan.data.validation
    if None in counts or isinstance(held, int):
        return None
    rows = sum(count for count in counts if count) * (1 - (held if isinstance(held, float) else 0))
    return ceil(ceil(rows) / plan.training.global_batch_size * plan.training.epochs)


def _lines(source: SourcePlan) -> int | None:
    """Rows of a source whose rows are lines."""
    if not source.local or source.limit is not None or source.weight != 1:
        return None
    from compiler.data.files import expand

    files = expand(source.path, Path("/"))
    if not files or any(file.suffix != ".jsonl" for file in files):
        return None
    try:
        return sum(sum(1 for line in file.open("rb") if line.strip()) for file in files)
    except OSError:
        return None


def _memory(part: str) -> Callable[[Side], object]:
    def figure(side: Side) -> object:
        footprint = side.compiled.footprint
        return getattr(footprint.parts, part) if footprint else None

    return figure


def _device(side: Side) -> object:
    footprint = side.compiled.footprint
    return footprint.device if footprint else None


def _verdict(side: Side) -> object:
    footprint = side.compiled.footprint
    return footprint.verdict if footprint else None


def _trained(side: Side) -> object:
    footprint = side.compiled.footprint
    return trained(side.plan, footprint.stack).parameters if footprint else None


def _time(name: str) -> Callable[[Side], object]:
    def figure(side: Side) -> object:
        footprint = side.compiled.footprint
        return getattr(estimate(side.plan, footprint), name) if footprint else None

    return figure


FIGURES: Final[dict[str, Callable[[Side], object]]] = {
    "parameters that are trained": _trained,
    "tokens a step, at most": lambda side: side.plan.tokens_per_step,
    "optimizer steps, at most": _steps,
    "forward passes a step and card": lambda side: side.plan.accumulation,
    "memory verdict": _verdict,
    "memory of a card": _device,
    **{f"  {name}": _memory(name) for name in Parts.__struct_fields__},
    "tokens a second": _time("tokens_per_second"),
    "hours": _time("hours"),
    "USD": _time("usd"),
}
SIZES: Final = ("memory of a card", *(f"  {name}" for name in Parts.__struct_fields__))
"""Figures that count bytes."""


# --- what the tools make of it

IMPLEMENTED: Final = ("training.optimizer", "model.attention", "training.scheduler", "training.loss")
"""Leaves of which each tool chooses the implementation."""
SCHEDULERS: Final = {"axolotl": "lr_scheduler", "llamafactory": "lr_scheduler_type"}


def _words(sides: Sequence[Side]) -> Iterator[Row]:
    """What each tool is told, where sides have different tools and not the same word for one value."""
    if len({side.target for side in sides}) < 2:
        return
    for leaf in IMPLEMENTED:
        values = tuple(_word(leaf, side) for side in sides)
        plain = {leaves(side.plan).get(leaf) for side in sides}
        if len({value for value in values if value is not None}) > 1 and len(plain) == 1:
            yield Row(leaf, values, (None,) * len(sides))


def _word(leaf: str, side: Side) -> object:
    backend = load(side.target)
    answer = backend.TABLE[pattern(leaf)]
    key = answer.key if isinstance(answer, Key) else SCHEDULERS.get(side.target)
    if key is None or (leaf != "training.scheduler" and not isinstance(answer, Key)):
        return None
    return backend.said(side.plan).keys.get(key)


def _told(sides: Sequence[Side]) -> Iterator[Told]:
    """Findings of the targets, but those that every side has word for word."""
    everywhere = {(item.code, item.message) for item in sides[0].said}
    for side in sides[1:]:
        everywhere &= {(item.code, item.message) for item in side.said}
    for number, side in enumerate(sides):
        for item in side.said:
            if (item.code, item.message) not in everywhere:
                yield Told(number, item)
