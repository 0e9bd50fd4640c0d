"""What resolution stands on: the recipe, the facts, the place it is read from, and what was decided so far."""

from __future__ import annotations

from os.path import normpath
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, field

from compiler.data.files import place
from schemas.artifact import Target
from schemas.facts import Gpu, ModelFacts
from schemas.plan import Decision
from schemas.recipe import Recipe

Value = TypeVar("Value")


class Ground(Struct, frozen=True):
    """`folder` is the recipe's, absolute. `target` matters where the tools' training code differs."""

    recipe: Recipe
    facts: ModelFacts
    gpu: Gpu | None
    folder: Path
    target: Target
    decisions: list[Decision] = field(default_factory=list[Decision])
    open: dict[str, str] = field(default_factory=dict[str, str])

    def decide(self, path: str, value: Value, because: str) -> Value:
        """Note what an `auto` became, and why."""
        self.decisions.append(Decision(path, value, because))
        return value

    def leave_open(self, path: str, fallback: Value, because: str | None = None) -> Value:
        """Mark a leaf that memory and speed will choose, and give what stands there until then, and stays there where
        the card is not known; `because`: why that, if not for care."""
        self.open[path] = because or self._careful()
        return fallback

    def _careful(self) -> str:
        if self.gpu is None:
            return "no GPU is named, so this is the careful choice; `ftc run` decides anew for the card it finds"
        raw = self.recipe.targets.axolotl or self.recipe.targets.llamafactory
        if raw and (self.gpu.memory or self.recipe.hardware.memory):
            return "raw keys may change what is needed, so this is the careful choice"
        return "how much memory there is, is not known, so this is the careful choice"

    def absolute(self, path: str) -> str:
        """A path of the recipe, made absolute without following links."""
        return absolute(path, self.folder)


def absolute(path: str, folder: Path) -> str:
    """A path that is meant from a folder, made absolute without following links."""
    full = place(path, folder)
    if ".." not in full.parts:
        return str(full)
    # What is printed and kept reads better without them, where no link on the way makes them lead elsewhere.
    short = Path(normpath(full))
    try:
        return str(short if short.resolve() == full.resolve() else full)
    except (OSError, ValueError, RuntimeError):  # no path at all, as another finding says
        return str(full)
