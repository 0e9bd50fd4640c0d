"""What a rule sees, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from compiler.check import touches
from compiler.data.files import expand, is_local
from compiler.data.recognise import PLAIN, FirstRow, first_rows
from schemas.diagnostic import Finding
from schemas.facts import Gpu, ModelFacts
from schemas.method import HostedMethod
from schemas.recipe import DataFormat, Recipe, Source, Sources


class Seen(Struct, frozen=True):
    """A source of the recipe and what can be seen of it here. `path`: its dotted path in the recipe.

    `files` and `looked_at` are empty for a hub dataset, which is not looked at. `clear`: neither format nor fields is
    broken. `looked_at`: files with their first rows.
    """

    path: str
    source: Source
    local: bool
    files: tuple[Path, ...]
    looked_at: tuple[tuple[Path, FirstRow], ...]
    clear: bool

    @property
    def rows(self) -> tuple[tuple[Path, FirstRow], ...]:
        """Each file that was looked at and has rows, with the first; all of them where none has."""
        return tuple(pair for pair in self.looked_at if not pair[1].empty) or self.looked_at

    @property
    def empty(self) -> tuple[Path, ...]:
        """Files without rows beside others that have some."""
        found = tuple(file for file, row in self.looked_at if row.empty)
        return found if len(found) < len(self.looked_at) else ()

    @property
    def file(self) -> Path:
        """The file of `row`; there is one wherever there are files."""
        return self.rows[0][0]

    @property
    def row(self) -> FirstRow:
        """What tells the format of the whole: the first row of the first file that has rows."""
        return self.rows[0][1] if self.rows else FirstRow(None)

    @property
    def turns(self) -> bool:
        """Whether prompts and completions are lists of turns."""
        return self.format == "prompt_completion" and any(row.turns for _, row in self.rows)

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

    @cached_property
    def templated(self) -> bool:
        """Whether rows are rendered: by a chat template, as `compiler.resolve.model` decides it, or by a provider."""
        if self.recipe.model.chat_template != "auto" or isinstance(self.recipe.method, HostedMethod):
            return True
        learnt = (seen for seen in self.sources if seen.path.startswith("data.train"))
        return any(seen.format not in PLAIN for seen in learnt) or any(seen.turns for seen in self.sources)

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
    clear = not any(touches(f"{path}.{leaf}", context.broken) for leaf in ("format", "fields"))
    return Seen(path, source, local, files, tuple(first_rows(files, source.fields)), clear)
