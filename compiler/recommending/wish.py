"""What is asked for, and the recipes by which it is answered: each is compiled as any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from msgspec import Struct

from compiler.build import Compiled, Options, compile_recipe
from compiler.starting.choosing import shared_batch
from compiler.starting.text import Tree, with_leaf
from schemas.artifact import Target
from schemas.facts import Gpu, ModelFacts
from schemas.footprint import Stack
from schemas.recipe import DataFormat, Objective

FORMATS: Final[dict[Objective, DataFormat]] = {
    "sft": "prompt_completion",
    "pretrain": "text",
    "dpo": "preference",
    "orpo": "preference",
    "kto": "kto",
}
"""Rows that an objective can have without a chat template, which changes no figure."""
TEMPLATED: Final[tuple[Target, ...]] = ("llamafactory",)
"""Targets that write every row in a chat template: without one they would refuse all methods, for want of rows."""
TEMPLATE: Final = "chatml"
"""Where the base has none."""
Leaves = Mapping[str, object]
"""Recipe path → value."""


class Wish(Struct, frozen=True):
    """`base`: as a recipe in `folder` names it. `memory`: of a card that the catalog gives none. `tokens`: trained
    tokens of the rows, where they were counted. `stack`: whose training code is weighed, if not the target's."""

    base: str
    facts: ModelFacts
    gpu: Gpu
    memory: str | None
    count: int
    objective: Objective
    max_length: int
    folder: Path
    target: Target | None = None
    version: str | None = None
    stack: Stack | None = None
    tokens: int | None = None

    @property
    def batch(self) -> int:
        """Rows of an optimizer step."""
        return shared_batch(self.count)


def compiled(wish: Wish, leaves: Leaves) -> Compiled:
    """The recipe with these leaves, taken through the compiler; with a chat template where one must be named."""
    made = _made(wish, leaves)
    if wish.target not in TEMPLATED or not any(item.path == "model.chat_template" for item in made.diagnostics):
        return made
    templated = _made(wish, {**leaves, "model.chat_template": TEMPLATE})
    return templated if templated.valid else made


def _made(wish: Wish, leaves: Leaves) -> Compiled:
    tree = _tree(wish)
    for path, value in leaves.items():
        with_leaf(tree, path, value)
    options = Options(target=wish.target, version=wish.version, stack=wish.stack, known=wish.facts)
    return compile_recipe("recommendation", json.dumps(tree), wish.folder, options)


def fits(made: Compiled) -> bool:
    """Whether it is right, and fits as far as is known."""
    return made.valid and made.footprint is not None and made.footprint.verdict in ("fits", "unknown")


def lean(wish: Wish, kind: str) -> dict[str, object]:
    """The leaves with which a method needs least: as few rows at once as there can be, and nothing kept that can be
    computed again."""
    rows = 2 if wish.objective == "kto" else 1
    recompute = {} if kind == "prefix_tuning" else {"training.gradient_checkpointing": True}
    return {"training.micro_batch_size": rows, **recompute}


def _format(wish: Wish) -> DataFormat:
    return "messages" if wish.target in TEMPLATED and wish.objective == "sft" else FORMATS[wish.objective]


def _tree(wish: Wish) -> Tree:
    hardware: dict[str, object] = {"gpu": wish.gpu.name, "count": wish.count}
    if wish.memory:
        hardware["memory"] = wish.memory
    return cast(
        Tree,
        {
            "version": 1,
            "name": "recommendation",
            "model": {"base": wish.base},
            "method": {},
            "data": {
                "train": {
                    "path": "your/rows",
                    "format": _format(wish),
                },
                "max_length": wish.max_length,
            },
            "training": {"objective": wish.objective, "global_batch_size": wish.batch},
            "hardware": hardware,
        },
    )
