"""What was typed, as a model and a card."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from compiler.errors import FtcError
from compiler.exit import USAGE
from compiler.recommending.bases import LENGTH, Card
from compiler.recommending.wish import Wish
from compiler.starting.answers import base_facts, base_seen_from, card, main_memory
from schemas.artifact import Target
from schemas.facts import Gpu
from schemas.footprint import Stack
from schemas.recipe import Objective


class _Target(Protocol):
    @property
    def target(self) -> Target: ...
    @property
    def version(self) -> str | None: ...


class Typed(Protocol):
    """What `ftc recommend` and `ftc init` are told."""

    @property
    def model(self) -> str | None: ...
    @property
    def gpu(self) -> str | None: ...
    @property
    def count(self) -> int: ...
    @property
    def objective(self) -> Objective | None: ...
    @property
    def max_length(self) -> int | None: ...
    @property
    def tokens(self) -> int | None: ...
    @property
    def target(self) -> _Target | None: ...
    @property
    def stack(self) -> Stack | None: ...


def card_for(typed: Typed) -> Card:
    """The card that was named, else this machine's."""
    gpu = card(typed.gpu) if typed.gpu else _own()
    return Card(gpu, typed.count, main_memory(gpu), typed.stack)


def wish_for(typed: Typed, folder: Path) -> Wish:
    """A model on a card; `FtcError` where one of them is not known, with what was probably meant."""
    if typed.model is None:
        raise FtcError("--model must be given", "`ftc models` lists those known by name", USAGE)
    on = card_for(typed)
    facts = base_facts(typed.model)
    return Wish(
        base=base_seen_from(typed.model, facts, folder),
        facts=facts,
        gpu=on.gpu,
        memory=on.memory,
        count=on.count,
        objective=typed.objective or "sft",
        max_length=typed.max_length or min(LENGTH, facts.context or LENGTH),
        folder=folder,
        target=typed.target.target if typed.target else None,
        version=typed.target.version if typed.target else None,
        stack=typed.stack,
        tokens=typed.tokens,
    )


def _own() -> Gpu:
    from compiler.hardware import this_machine

    own = this_machine()
    if own is None or not own.bandwidth:  # only a card of the catalog can be named in a recipe
        raise FtcError("this machine has no card that ftc knows, so --gpu must be given", "see `ftc gpus`", USAGE)
    return card(own.name)
