"""The points of a sweep: every combination of its axes' values, and what each is called.

The names hang on the recipe's name, on the axes' keys and on the point's own values, not on its place among the others:
a sweep that is given more values finds the runs that it has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import product
from typing import Final, cast

from msgspec import Struct
from msgspec.structs import replace

from compiler.check import touches
from compiler.overrides import override, path_of
from compiler.shape import at
from compiler.source import Source
from compiler.sweep.axes import Axis, Value
from schemas.diagnostic import Path

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""The language's rule for `name`."""
WITH_PROJECTS: Final = ("wandb", "mlflow", "trackio")
"""Trackers that file runs under a project."""
LONGEST_NAME: Final = 64
LONGEST_VALUE: Final = 32
LONGEST_FOLDER: Final = 120
DIGITS: Final = 8
"""Of a checksum that stands for what was cut off a name."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.+_-]+")
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9._-]+")


class Point(Struct, frozen=True):
    """A combination. `number`: from 1, the last axis changing fastest. `values`: by the axes' keys, as written.

    `folder`: of its artifact, `rank=8,learning_rate=1e-4`. `run`: the recipe's `name` of this point, and so its folder
    of results; None where the recipe's own is wrong. `sets`: what makes the recipe this point's, as `--set` takes it.
    """

    number: int
    values: Mapping[str, str]
    folder: str
    run: str | None
    sets: tuple[str, ...]


class _Choice(Struct, frozen=True):
    """A value of an axis, and what folders and runs are called by it."""

    key: str
    text: str
    folder: str
    slug: str


def common(axes: Sequence[Axis], sets: tuple[str, ...]) -> tuple[str, ...]:
    """What is set in every point. As with `--gpu`, a memory size that the recipe states for another card goes where the
    card varies."""
    varied, said = [axis.key for axis in axes], [_key_of(option) for option in sets]
    freed = "hardware.gpu" in varied and "hardware.memory" not in (*varied, *said)
    return (*sets, "~hardware.memory") if freed else sets


def points_of(axes: Sequence[Axis], source: Source, sets: tuple[str, ...]) -> tuple[Point, ...]:
    """All of them, in the order of nested loops. `source`: the recipe as read; `sets`: what is set in every point."""
    base = base_of(source, sets)
    made = [_point(number, chosen) for number, chosen in enumerate(product(*_choices(axes)), start=1)]
    named = [replace(point, run=_run(base, point)) if base else replace(point, run=None) for point in made]
    often = Counter(point.run for point in named)
    told = [
        replace(point, run=_cut(point.run, point)) if point.run and often[point.run] > 1 else point for point in named
    ]
    project = _project(base, axes, source, sets) if base else ()
    return tuple(replace(point, sets=(*sets, *point.sets, *_named(point), *project)) for point in told)


def _named(point: Point) -> tuple[str, ...]:
    return (f"name={point.run}",) if point.run else ()


def _choices(axes: Sequence[Axis]) -> list[list[_Choice]]:
    """Of each axis its values, and how names have them."""
    return [
        [_Choice(axis.key, value.text, f"{short}={label}", f"{short}-{slug}") for value, label, slug in _labelled(axis)]
        for axis, short in zip(axes, _short(axes), strict=True)
    ]


def _point(number: int, chosen: Sequence[_Choice]) -> Point:
    """`run` is as yet what comes after the recipe's name."""
    values = {choice.key: choice.text for choice in chosen}
    folder, slug = ",".join(choice.folder for choice in chosen), "-".join(choice.slug for choice in chosen)
    point = Point(number, values, folder, _NOT_IN_NAMES.sub("-", slug.lower()), tuple(map("=".join, values.items())))
    if len(folder) > LONGEST_FOLDER:
        return replace(point, folder=f"{folder[: LONGEST_FOLDER - DIGITS - 1]}-{_checksum(point)}")
    return point


def _project(base: str, axes: Sequence[Axis], source: Source, sets: tuple[str, ...]) -> tuple[str, ...]:
    """The project that trackers file all points under, where neither the recipe nor an option names one: by itself it
    would be each point's own name."""
    data, keys = override(source, sets).data, frozenset(axis.key for axis in axes)
    trackers = at(data, ("logging", "to"))
    tracked = isinstance(trackers, list) and any(name in WITH_PROJECTS for name in cast("list[object]", trackers))
    named = touches("logging.project", keys) or at(data, ("logging", "project")) is not None
    return (f'logging.project="{base}"',) if tracked and not named else ()


def base_of(source: Source, sets: tuple[str, ...]) -> str | None:
    """The recipe's name, where it has a valid one."""
    name = (override(source, sets).data or {}).get("name")
    return name if isinstance(name, str) and NAME.fullmatch(name) else None


def _key_of(option: str) -> str:
    """The leaf that an option `--set` is about."""
    return option.removeprefix("~").partition("=")[0]


# --- what things are called


def _short(axes: Sequence[Axis]) -> list[str]:
    """Of each key as many of its last parts as tell it from the others."""
    paths = [path_of(axis.key) or () for axis in axes]
    return [_safe(".".join(map(str, path[-_parts(path, paths) :]))) for path in paths]


def _parts(path: Path, paths: Sequence[Path]) -> int:
    for count in range(1, len(path)):
        alike = [other for other in paths if other[-count:] == path[-count:]]
        if isinstance(path[-count], str) and len(alike) == 1:
            return count
    return len(path)


def _labelled(axis: Axis) -> list[tuple[Value, str, str]]:
    """Each value, and what it is called in a folder's name and in a run's: with a checksum where others would be called
    alike."""
    texts = [value.text for value in axis.values]
    labels, slugs = (
        _told_apart(texts, _label),
        _told_apart(texts, lambda text: _NOT_IN_NAMES.sub("-", _label(text).lower())),
    )
    return list(zip(axis.values, labels, slugs, strict=True))


def _told_apart(texts: Sequence[str], said: Callable[[str], str]) -> list[str]:
    found = [said(text) for text in texts]
    often = Counter(label.casefold() for label in found)  # some file systems do not tell letter case apart
    return [
        label if label and often[label.casefold()] == 1 else f"{label}-{_digest(text)}".lstrip("-")
        for label, text in zip(found, texts, strict=True)
    ]


def _label(text: str) -> str:
    label = _safe(text)
    return label if len(label) <= LONGEST_VALUE else f"{label[: LONGEST_VALUE - DIGITS - 1]}-{_digest(text)}"


def _safe(text: str) -> str:
    """Letters, digits and some marks that mean nothing to shells and file systems; a minus sign stays."""
    minus = "-" if re.match(r"-\.?\d", text) else ""
    return minus + _UNSAFE.sub("-", text).strip("-").rstrip(".")


def _run(base: str, point: Point) -> str:
    name = f"{base}-{point.run}"
    return name if len(name) <= LONGEST_NAME else _cut(name, point)


def _cut(name: str, point: Point) -> str:
    """A name with the end replaced by a checksum of the point's values."""
    return f"{name[: LONGEST_NAME - DIGITS - 1].rstrip('-._')}-{_checksum(point)}"


def _checksum(point: Point) -> str:
    return _digest("\n".join(f"{key}={text}" for key, text in point.values.items()))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:DIGITS]
