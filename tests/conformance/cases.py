"""The recipes that are compared: all in `recipes/`, and a covering array of generated ones for each tool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import samples
from bases import FAMILIES, write_base, write_bases
from msgspec import Struct
from pairwise import Array, Cover, Row
from parameters import NEEDS, PARAMETERS, base, sets

from compiler.build import Compiled, Options, compile_recipe
from schemas.artifact import Target

ROOT: Final = Path(__file__).resolve().parents[2]
SEED: Final = 1
ROOM: Final = 512
"""Tokens for rows that a stand-in's tokenizer writes, which knows fewer words than one of the hub."""


class Case(Struct, frozen=True):
    """`stand_in`: a small model in place of one of the hub. Rows are compared where there is none, as a tokenizer of
    the hub writes other text than the one that stands for it."""

    name: str
    text: str
    folder: Path
    sets: tuple[str, ...]
    stand_in: Path | None = None
    generated: bool = False


class Ground(Struct, frozen=True):
    """Where small models and sample rows lie, and where runs would go."""

    place: Path

    @property
    def bases(self) -> Path:
        return self.place / "bases"

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def recipe(self) -> str:
        """The recipe that generated ones are variants of."""
        return base(self.bases, self.data, self.place / "runs")

    def prepare(self) -> None:
        """Write models and rows."""
        write_bases(self.bases)
        samples.write(self.data)

    def stand_in(self, family: str, dtype: str, *, tied: bool) -> Path:
        """A small model of the family of one of the hub."""
        named = f"{family}-{dtype}{'-tied' * tied}"
        return write_base(self.place / "stand-ins" / named, family, dtype, tied=tied)


def recipes(target: Target, ground: Ground) -> Iterator[Case]:
    """Every recipe of the project, its results sent elsewhere."""
    for file in sorted((ROOT / "recipes").glob("**/*.ftc.yaml")):
        text, name = file.read_text(encoding="utf-8"), file.name.removesuffix(".ftc.yaml")
        case = Case(name, text, file.parent, (f"output.dir={ground.place}/runs",))
        plan = compile_recipe(file.name, text, file.parent, options(target, case.sets)).plan
        if plan and plan.facts.origin != "folder" and plan.facts.family in FAMILIES:
            stored = plan.facts.dtype or plan.model.dtype
            small = ground.stand_in(plan.facts.family, stored, tied=plan.facts.tied)
            longer = (f"data.max_length={ROOM}",) if plan.data.max_length < ROOM else ()
            case = Case(case.name, case.text, case.folder, (*case.sets, *longer), small)
        yield case


def generated(target: Target, ground: Ground) -> tuple[list[Case], Array]:
    """Recipes in which every two values that build together stand somewhere together."""

    def wrong(row: Row) -> str | None:
        made = compile_recipe("recipe.yaml", ground.recipe, ground.place, options(target, said(row)))
        return refused(made) or None

    def said(row: Row) -> tuple[str, ...]:
        return sets(row, ground.bases, ground.data)

    domains = {name: list(values) for name, values in PARAMETERS.items()}
    array = Cover(domains, NEEDS, wrong, SEED).rows()
    cases = [
        Case(f"pair-{number:03}", ground.recipe, ground.place, said(row), generated=True)
        for number, row in enumerate(array.rows)
    ]
    return cases, array


def refused(made: Compiled) -> str:
    """Why a recipe is not built: codes and leaves; nothing where it is."""
    return ", ".join(f"{item.code} {item.path}" for item in made.diagnostics if item.level == "error")


def options(target: Target, sets: tuple[str, ...], *, emit: bool = False) -> Options:
    """Memory is not what is looked at here: a small model fits, and one of the hub need not."""
    return Options(target=target, sets=sets, emit=emit, ignore_memory=True)
