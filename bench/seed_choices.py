"""The lesson's decision matrix and its tables of base models, against what `ftc recommend` finds.

The rows are facts in `data/seed_choices.json`. They are read so: supervised fine-tuning, packed rows of 2048 tokens, 16
a step, micro batch and checkpointing left to the compiler, the native stack; a 7B is Llama 2 7B, a 70B Llama 3.1 70B.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from bench.memory_cases import BENCH
from compiler.hardware import find_gpu
from compiler.model_releases import release_of
from compiler.models import find_model
from compiler.recommending.bases import USES, Base, Card, shelves
from compiler.recommending.methods import Candidate, Recommendation, recommend
from compiler.recommending.wish import Wish
from compiler.report.recommend_text import elsewhere_words, hardware_words, named
from compiler.report.release_words import licence_words
from schemas.facts import GIB, Gpu, ModelFacts
from schemas.footprint import Stack

FILE: Final = BENCH / "data" / "seed_choices.json"
LENGTH: Final = 2048
TOLD: Final = ("full", "lora", "qlora")
"""Methods of which a row is told where they do not fit."""
Stance = Literal["agree", "dispute"]
Place = tuple[str, int]


class Row(Struct, frozen=True):
    """A row of the decision matrix. `first`, `fits`, `nothing`, `ranks`: what it comes to, on every card."""

    id: str
    situation: str
    says: str
    model: str
    cards: tuple[Place, ...]
    stance: Stance
    why: str
    first: str | None = None
    fits: tuple[str, ...] = ()
    nothing: bool = False
    ranks: tuple[int, ...] = ()


class BaseRow(Struct, frozen=True):
    """A row of the table of base models."""

    id: str
    constraint: str
    says: tuple[str, ...]
    use: str
    cards: tuple[Place, ...]
    stance: Stance
    why: str


class LicenceRow(Struct, frozen=True):
    """What is said, or not said, of licences."""

    id: str
    claim: str
    models: tuple[str, ...]
    says: str
    stance: Stance
    why: str


class Choices(Struct, frozen=True):
    """The whole file."""

    matrix: tuple[Row, ...]
    bases: tuple[BaseRow, ...]
    licences: tuple[LicenceRow, ...]


@cache
def choices() -> Choices:
    """Read once."""
    return msgspec.json.decode(FILE.read_bytes(), type=Choices)


def facts(model: str) -> ModelFacts:
    """Of a model of the catalog."""
    found = find_model(model, Path(), online=False)
    if not isinstance(found, ModelFacts):
        raise TypeError(model)
    return found


def gpu(name: str) -> Gpu:
    """Of a card of the catalog."""
    found = find_gpu(name)
    if not isinstance(found, Gpu):
        raise TypeError(name)
    return found


@cache
def found(model: str, place: Place, stack: Stack = "native") -> Recommendation:
    """What is recommended there."""
    name, count = place
    known = facts(model)
    return recommend(Wish(known.hub_id or model, known, gpu(name), None, count, "sft", LENGTH, Path(), stack=stack))


def matrix_stance(row: Row) -> Stance:
    """Whether it is so on every card."""
    return "agree" if all(_holds(row, found(row.model, place)) for place in row.cards) else "dispute"


def _holds(row: Row, said: Recommendation) -> bool:
    if row.nothing:
        return not said.choices
    kinds = {item.kind: item for item in said.choices}
    if not set(row.fits) <= set(kinds) or (row.first and said.choices[0].kind != row.first):
        return False
    ranked = [item.ranks.largest for kind in row.fits if (item := kinds[kind]).ranks]
    return all(rank <= largest for rank in row.ranks for largest in ranked)


@cache
def base_of(name: str, place: Place) -> Base:
    """A base on a card."""
    release = release_of(name)
    if release is None:
        raise TypeError(name)
    return Base(facts(name), release, Card(gpu(place[0]), place[1], None, None))


def base_stance(row: BaseRow) -> Stance:
    """Whether each is what the use asks for, and can be trained on the card."""
    return "agree" if all(_suits(row, name, place) for place in row.cards for name in row.says) else "dispute"


def _suits(row: BaseRow, name: str, place: Place) -> bool:
    base = base_of(name, place)
    [use] = (use for use in USES if use.name == row.use)
    if row.use == "quality":
        largest = shelves(base.card, "quality")[0].bases
        return bool(base.methods) and base.facts.params * 2 >= max(each.facts.params for each in largest)
    return use.suits(base) and bool(base.methods)


def licence_stance(row: LicenceRow) -> Stance:
    """Whether every model's licence is so."""
    kinds = {release.commercial for name in row.models if (release := release_of(name))}
    return "agree" if kinds == {row.says} else "dispute"


# --- the page


def matrix_rows() -> list[tuple[str, ...]]:
    """Situation, claim, what is found, stance and why."""
    return [
        (row.situation, row.says, _findings(row), _verdict(matrix_stance(row), row.why)) for row in choices().matrix
    ]


def _verdict(stance: Stance, why: str) -> str:
    word = "reproduced" if stance == "agree" else "**disputed**"
    return f"{word}: {why}" if why else word


def _findings(row: Row) -> str:
    return "<br>".join(f"{hardware_words(*place)}: {_finding(found(row.model, place))}" for place in row.cards)


def _finding(said: Recommendation) -> str:
    told = [item for item in said.choices if item.kind in TOLD]
    missed = [item for item in said.others if item.kind in TOLD]
    parts = [_fitting(item) for item in told] + [_missing(item) for item in missed]
    return "; ".join(parts)


def _fitting(item: Candidate) -> str:
    weighed, ranks = item.footprint, item.ranks
    if weighed is None or weighed.capacity is None:
        return item.kind
    upto = f", ranks to {ranks.largest}" if ranks else ""
    return f"**{item.kind}** up to {weighed.high / GIB:.1f} of {weighed.capacity / GIB:.1f} GiB{upto}"


def _missing(item: Candidate) -> str:
    weighed = item.footprint
    if weighed is None:
        return f"{named(item)} refused"
    places = " or ".join(elsewhere_words(place.gpu, place.count, place.strategy) for place in item.elsewhere)
    verb = "may need" if weighed.verdict == "tight" else "needs"
    return f"{item.kind} {verb} {weighed.high / GIB:.1f}" + (f" ({places})" if places else "")


def base_rows() -> list[tuple[str, ...]]:
    """Constraint, the lesson's models with their facts, what `ftc recommend` puts first, stance and why."""
    return [(row.constraint, _bases(row), _ours(row), _verdict(base_stance(row), row.why)) for row in choices().bases]


def _bases(row: BaseRow) -> str:
    return "<br>".join(_base(name, row.cards[0]) for name in row.says)


def _base(name: str, place: Place) -> str:
    base = base_of(name, place)
    weighed, plan, release = base.footprint, base.shown.plan, base.release
    trained = f"{plan.method.kind} {weighed.high / GIB:.1f} GiB" if weighed and plan and base.methods else "not here"
    languages = f", {release.languages} language{'s' * (release.languages > 1)}" if release.languages else ""
    return f"`{name}` ({base.facts.params / 1e9:.1f} B, {release.released or 'date not found'}{languages}): {trained}"


def _ours(row: BaseRow) -> str:
    name, count = row.cards[0]
    [shelf] = shelves(Card(gpu(name), count, None, None), row.use)
    listed = ", ".join(f"`{base.facts.name}`" for base in shelf.bases[:4])
    return f"{hardware_words(name, count)}: {listed}"


def licence_rows() -> list[tuple[str, ...]]:
    """Claim, licences as found, stance and why."""
    return [(row.claim, _licences(row.models), _verdict(licence_stance(row), row.why)) for row in choices().licences]


def _licences(models: Sequence[str]) -> str:
    return "<br>".join(f"`{name}`: {licence_words(release_of(name))}" for name in models)
