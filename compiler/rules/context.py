"""What a rule sees, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from schemas.diagnostic import Finding
from schemas.facts import Gpu, ModelFacts
from schemas.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Context:
    """A recipe and what is known around it. Rules report, they never change anything.

    `written`: dotted paths of what the user wrote, sections too. `facts`, `gpu`: None where they are not known.
    `folder`: where relative paths of the recipe begin. `broken`: leaves that took their default because of a mistake.
    """

    recipe: Recipe
    written: frozenset[str]
    facts: ModelFacts | None
    gpu: Gpu | None
    folder: Path
    broken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """A check across leaves. `reads`: the leaves it looks at; if one of them is broken it has nothing to say."""

    reads: tuple[str, ...]
    check: Callable[[Context], Iterable[Finding]]
