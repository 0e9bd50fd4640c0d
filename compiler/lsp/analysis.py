"""What is known of one version of a recipe: read and compiled once, and asked by every request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path as FilePath

from msgspec import Struct

from compiler.build import Compiled, compile_recipe
from compiler.lsp.settings import Settings
from compiler.memory.fixes import Fix, fixes
from compiler.models import find_model
from compiler.source import Source, parse
from compiler.text_places import Encoding, Places
from schemas.diagnostic import Diagnostic, Path, dotted
from schemas.facts import ModelFacts
from schemas.footprint import Footprint
from schemas.plan import Decision, Plan


class Analysis(Struct, frozen=True, dict=True):
    """`compiled`: once for each target asked for; the first is the one whose memory is told. No slots: what is asked
    for is worked out once."""

    file: FilePath
    places: Places
    source: Source
    compiled: tuple[Compiled, ...]
    settings: Settings

    @property
    def text(self) -> str:
        """The recipe's text."""
        return self.places.text

    @property
    def readable(self) -> bool:
        """Whether it is YAML with sections, however wrong."""
        return self.source.data is not None

    @property
    def plan(self) -> Plan | None:
        """The plan, where the recipe came so far; a recipe with errors has one that is not solved."""
        return self.compiled[0].plan

    @property
    def solved(self) -> Plan | None:
        """The plan, where nothing in it is a blank's fallback."""
        return self.compiled[0].plan if self.compiled[0].valid else None

    @property
    def footprint(self) -> Footprint | None:
        """What the run weighs, where that is known."""
        return self.compiled[0].footprint

    @cached_property
    def fixes(self) -> tuple[Fix, ...]:
        """Changes after which it fits."""
        return fixes(self.solved, self.footprint.stack) if self.solved and self.footprint else ()

    @cached_property
    def decisions(self) -> Mapping[str, Decision]:
        """What the compiler chose, by path."""
        return {item.path: item for item in self.solved.decisions} if self.solved else {}

    @cached_property
    def facts(self) -> ModelFacts | None:
        """The base's facts, also where the recipe has errors."""
        if self.plan:
            return self.plan.facts
        recipe = self.compiled[0].recipe
        if recipe is None:
            return None
        found = find_model(recipe.model.base, self.file.parent, revision=recipe.model.revision, online=False)
        return found if isinstance(found, ModelFacts) else None

    @cached_property
    def findings(self) -> tuple[Diagnostic, ...]:
        """What all targets have to say, once, in the order of the text."""
        found = dict.fromkeys(item for one in self.compiled for item in one.diagnostics)
        return tuple(sorted(found, key=lambda item: (item.file, item.span.line, item.span.column, item.code)))

    @cached_property
    def misfits(self) -> tuple[Diagnostic, ...]:
        """The memory verdicts of targets on which it does not fit, or may not."""
        return tuple(dict.fromkeys(item.misfit for item in self.compiled if item.misfit))

    def stretch(self, path: Path, *, key: bool = False) -> tuple[int, int] | None:
        """Where a value (or its key) stands in the text."""
        place = self.source.place(dotted(path))
        if place is None or (key and place.key is None):
            return None
        return self.places.stretch(place.key if key and place.key else place.value)

    def written(self, path: str) -> str:
        """A path of the plan as this recipe writes it: one source may stand without a list."""
        for sources in ("data.train", "data.validation"):
            if f"{sources}[0]" not in self.source.marks:
                path = path.replace(f"{sources}[0]", sources)
        return path

    def planned(self, path: str) -> str:
        """A path of the recipe as the plan writes it: sources are always in a list."""
        for sources in ("data.train", "data.validation"):
            if path.startswith(f"{sources}.") and f"{sources}[0]" not in self.source.marks:
                return path.replace(sources, f"{sources}[0]", 1)
        return path


def analyse(file: FilePath, text: str, settings: Settings, encoding: Encoding) -> Analysis:
    """Read and compile a text as if it stood in this file."""
    name = str(file)
    compiled = tuple(compile_recipe(name, text, file.parent, asked) for asked in settings.asked)
    return Analysis(file, Places(text, encoding), parse(text, name), compiled, settings)
