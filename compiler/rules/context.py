"""What a rule sees, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from msgspec import Struct

from compiler.check import touches
from compiler.data.files import expand, is_local
from compiler.data.recognise import FirstRow, first_row
from schemas.diagnostic import Finding
from schemas.facts import Gpu, ModelFacts
from schemas.recipe import DataFormat, Recipe, Source, Sources

MOST_FILES: Final = 50
"""How many files of a pattern are looked at."""


class Seen(Struct, frozen=True):
    """A source of the recipe and what can be seen of it here. `path`: its dotted path in the recipe.

    `files` and `row` are empty for a hub dataset, which is not looked at. `clear`: neither format nor fields is broken.
    `others`: first rows of the files after the first, as far as they are looked at.
    """

    path: str
    source: Source
    local: bool
    files: tuple[Path, ...]
    row: FirstRow
    clear: bool
    others: tuple[FirstRow, ...] = ()

    @property
    def rows(self) -> tuple[tuple[Path, FirstRow], ...]:
        """Each file that was looked at, with its first row."""
        return tuple(zip(self.files, (self.row, *self.others), strict=False))

    @property
    def format(self) -> DataFormat | None:
        """What its rows look like: as stated, else as seen; None where neither is known."""
        if not self.clear:
            return None
        return self.row.format if self.source.format == "auto" else self.source.format


class Context(Struct, frozen=True, dict=True):
    """A recipe and what is known around it. Rules report, they never change anything.

    `written`: dotted paths of what the user wrote, sections too. `facts`, `gpu`: None where they are not known.
    `folder`: where relative paths of the recipe begin. `broken`: leaves that took their default because of a mistake.
    No slots: the sources are looked at once, for all rules.
    """

    recipe: Recipe
    written: frozenset[str]
    facts: ModelFacts | None
    gpu: Gpu | None
    folder: Path
    broken: frozenset[str] = frozenset()

    @cached_property
    def sources(self) -> tuple[Seen, ...]:
        """Sources of training and validation data, those whose path is broken left out."""
        data = self.recipe.data
        pairs = [("data.train", data.train), ("data.validation", data.validation)]
        found = (item for path, sources in pairs for item in _seen(path, sources, self))
        return tuple(item for item in found if f"{item.path}.path" not in self.broken)

    @property
    def devices(self) -> int:
        """Cards in all."""
        return self.recipe.hardware.count * self.recipe.hardware.nodes


class Rule(Struct, frozen=True):
    """A check across leaves. `reads`: the leaves it looks at; if one of them is broken it has nothing to say."""

    reads: tuple[str, ...]
    check: Callable[[Context], Iterable[Finding]]


def _seen(path: str, sources: Sources | float | None, context: Context) -> Iterator[Seen]:
    if isinstance(sources, Source):
        yield _look(path, sources, context)
    elif isinstance(sources, tuple):
        for index, source in enumerate(sources):
            yield _look(f"{path}[{index}]", source, context)


def _look(path: str, source: Source, context: Context) -> Seen:
    local = is_local(source.path)
    files = expand(source.path, context.folder) if local else ()
    row = first_row(files[0], source.fields) if files else FirstRow(None)
    clear = not any(touches(f"{path}.{leaf}", context.broken) for leaf in ("format", "fields"))
    others = tuple(first_row(file, source.fields) for file in files[1:MOST_FILES])
    return Seen(path, source, local, files, row, clear, others)
