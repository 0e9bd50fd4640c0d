"""What is known of quality, from a file in which each figure has its source."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from schemas.facts import ModelFacts

FILE: Final = Path(__file__).parent / "guidance.json"


class Source(Struct, frozen=True):
    """`short`: as it is named beside a figure. `where`: who, when, and where it is to be read."""

    short: str
    where: str


class MethodGuide(Struct, frozen=True):
    """`level`: methods of one level are not told apart by independent evidence, the smaller is better; `many`: the
    level where rows hold more than an adapter can. `place`: the order inside of a level, the plainer first."""

    level: int
    many: int
    place: int
    because: str
    sources: tuple[str, ...]


class RankGuide(Struct, frozen=True):
    """`usual`: from and to. `start`: where nothing speaks for another. `most`: above it nobody has shown a gain."""

    usual: tuple[int, int]
    start: int
    most: int
    bits_per_parameter: float
    bits_per_token: float
    because: str
    sources: tuple[str, ...]

    def holds(self, parameters: int) -> int:
        """Trained tokens that so many parameters can hold at most."""
        return int(parameters * self.bits_per_parameter / self.bits_per_token)


class Reading(Struct, frozen=True, rename={"least": "from", "below": "to"}):
    """A learning rate that somebody trained with. `least`, `below`: for models of so many parameters."""

    methods: tuple[str, ...]
    objectives: tuple[str, ...]
    least: float
    below: float | None
    value: float
    source: str


class Formula(Struct, frozen=True):
    """base x lora x (width / hidden size) ^ exponent of the family; without `lora` for full training."""

    base: float
    lora: float
    width: float
    exponents: dict[str, float]
    source: str

    def rate(self, model: ModelFacts, kind: str) -> float | None:
        """The learning rate of this model; None of a family that it was not fitted to, or another method."""
        family = next((name for name in self.exponents if model.name.startswith(name)), None)
        if family is None or kind not in ("full", "lora", "qlora"):
            return None
        times = 1 if kind == "full" else self.lora
        return self.base * times * (self.width / model.hidden) ** self.exponents[family]


class Epochs(Struct, frozen=True):
    """How often somebody read so many rows."""

    rows: int
    epochs: int
    model: str
    source: str


class Rule(Struct, frozen=True):
    """`ours`: where a default of the language stands; `agrees`: whether that is what is said."""

    topic: str
    says: str
    sources: tuple[str, ...]
    ours: str
    agrees: Literal["yes", "partly", "no"]


class Guidance(Struct, frozen=True):
    """The whole file."""

    sources: dict[str, Source]
    methods: dict[str, MethodGuide]
    rank: RankGuide
    learning_rates: tuple[Reading, ...]
    formula: Formula
    epochs: tuple[Epochs, ...]
    rules: tuple[Rule, ...]

    def named(self, sources: Iterable[str]) -> str:
        """Sources in a word each."""
        return ", ".join(self.sources[source].short for source in sources)


class Rate(Struct, frozen=True):
    """A learning rate and where it is from."""

    value: float
    source: str


@lru_cache(maxsize=1)
def guidance() -> Guidance:
    """Read once."""
    return msgspec.json.decode(FILE.read_bytes(), type=Guidance)


def rates(model: ModelFacts, kind: str, objective: str) -> tuple[Rate, ...]:
    """The learning rates that others took for such a model, method and objective."""
    known = guidance()
    found = [
        Rate(item.value, item.source)
        for item in known.learning_rates
        if kind in item.methods
        and objective in item.objectives
        and item.least <= model.params < (item.below or float("inf"))
    ]
    computed = known.formula.rate(model, kind) if objective == "sft" else None
    return (*found, Rate(computed, known.formula.source)) if computed else tuple(found)
