"""What fits: the plan weighed again for other lengths and micro batches."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory import weigh
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan

SHORTEST: Final = 512
"""Tokens of the first row, where the plan's own rows are not shorter."""
MICROS: Final = (1, 2, 4, 8, 16)
EVALUATION: Final = "evaluation.batch_size"


class Cell(Struct, frozen=True):
    """The plan with rows of `length` tokens, `micro` of them in a forward pass. `own`: the plan as it stands."""

    length: int
    micro: int
    footprint: Footprint
    own: bool


class Fitting(Struct, frozen=True):
    """Cells by length, each row in the order of `micros`."""

    micros: tuple[int, ...]
    rows: tuple[tuple[Cell, ...], ...]


def fitting(plan: Plan, stack: Stack) -> Fitting:
    """Lengths double up to what the model was made for; the plan's own length and micro batch are among them."""
    own = (plan.data.max_length, plan.training.micro_batch_size)
    micros = tuple(sorted({*MICROS, own[1]}))
    rows = tuple(tuple(_cell(plan, stack, length, micro) for micro in micros) for length in _lengths(plan))
    return Fitting(micros, rows)


def _cell(plan: Plan, stack: Stack, length: int, micro: int) -> Cell:
    own = (length, micro) == (plan.data.max_length, plan.training.micro_batch_size)
    return Cell(length, micro, weigh(resized(plan, length, micro), stack), own)


def resized(plan: Plan, length: int, micro: int) -> Plan:
    """The plan with other rows. Evaluation follows where it was left to the compiler, and the global batch becomes the
    next multiple of what all devices take at once."""
    at_once = micro * plan.devices
    batch = -(-plan.training.global_batch_size // at_once) * at_once
    follows = any(decision.path == EVALUATION for decision in plan.decisions)
    evaluation = replace(plan.evaluation, batch_size=micro) if follows else plan.evaluation
    training = replace(plan.training, micro_batch_size=micro, global_batch_size=batch)
    return replace(plan, data=replace(plan.data, max_length=length), training=training, evaluation=evaluation)


def _lengths(plan: Plan) -> tuple[int, ...]:
    own, found = plan.data.max_length, set[int]()
    length = min(SHORTEST, 1 << (own.bit_length() - 1))
    while length <= max(plan.facts.context, own):
        found.add(length)
        length *= 2
    return tuple(sorted({*found, own}))
