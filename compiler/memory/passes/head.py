"""From the last layer to the loss and back, on the tape. V x T tensors are the largest of many runs."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from compiler.memory.passes.adapters import project
from compiler.memory.passes.operators import cast, fused_norm, rms_norm, scale, squash
from compiler.memory.passes.projection import Matrix, Projection, row_copy, weight_gradient
from compiler.memory.passes.tape import LOGIT, NONE, TILE, TOKEN, WHOLE, Bytes, Grad, Kind, Moved, Tape, Tensor, largest
from schemas.recipe import Loss

STATISTICS = 7 * 4
"""Bytes a token of what TRL's loss sums up in float32 (trl 1.16 kernels/chunked_logprob.py)."""


class Head(Struct, frozen=True):
    """`matrix`: the output head. `slice`: bytes of the part of a float32 head that a chunked loss casts at once.

    `indexed`: whether trained positions are copied out before (TRL). `widened`: whether what the model gives out
    becomes float32 (accelerate, under autocast). `held`: whether the loop keeps the logits until its step has ended.
    """

    hidden: int
    stream: int
    matrix: Matrix
    loss: Loss
    slice: float
    softcap: bool
    wide_norms: bool
    fused_norms: bool
    base_trained: bool
    indexed: bool
    widened: bool
    held: bool
    projection: Projection


class HeadCost(Struct, frozen=True):
    """Largest moments of the forward and of the backward pass, both with the last layer's output in them; `unkept`:
    forward without gradients. `moved`: what is written on both ways."""

    forward: tuple[Bytes, ...]
    backward: tuple[Bytes, ...]
    unkept: tuple[Bytes, ...]
    moved: Moved


@lru_cache(maxsize=256)
def head_cost(head: Head) -> HeadCost:
    """What the head and the loss cost."""
    tape = Tape()
    loss = _forward(tape, head)
    forward = largest(tape.moments)
    tape.moments.clear()
    tape.play_back(loss, tape.new(TOKEN, 0, 4))
    unkept = Tape(keeping=False)
    _forward(unkept, head)
    return HeadCost(forward, largest(tape.moments), largest(unkept.moments), tape.moved())


def _forward(tape: Tape, head: Head) -> Tensor:
    x = tape.new(TOKEN, head.hidden, head.stream, wants=True)
    normed = _norm(tape, x, head)
    tape.drop(x)
    return _full(tape, normed, head) if head.loss == "full" else _chunked(tape, normed, head)


def _norm(tape: Tape, x: Tensor, head: Head) -> Tensor:
    if head.fused_norms:
        return fused_norm(tape, x, in_place=not head.wide_norms)
    return rms_norm(tape, x, trained=head.base_trained, wide_weight=head.wide_norms)


def _full(tape: Tape, hidden: Tensor, head: Head) -> Tensor:
    """transformers' loss: float32 logits, their log-softmax, which is kept, and the gradients of both."""
    logits = project(tape, hidden, head.matrix, head.projection)
    before = tape.like(logits) if head.held else None  # of the pass before
    tape.drop(hidden)
    for step in (scale, squash, scale) if head.softcap else ():
        logits = tape.instead(logits, step(tape, logits))
    wide = cast(tape, logits, 4)
    chances = squash(tape, wide)
    loss = tape.new(TOKEN, 0, 4, wants=True)
    tape.node(loss, (Grad(chances),))
    tape.drop(wide, chances)
    if head.widened:
        logits = tape.instead(logits, cast(tape, logits, 4))
    tape.drop(before or logits)
    return loss


def _chunked(tape: Tape, hidden: Tensor, head: Head) -> Tensor:
    """A loss in tiles: the head's gradient is summed in float32, and so is its weight's."""
    given = hidden
    if head.indexed:
        tape.temporary(TOKEN, 16)
        given = copy_out(tape, hidden)
        tape.drop(hidden)
    tape.temporary(TILE, 1)
    tape.temporary(LOGIT, STATISTICS)
    loss = tape.new(TOKEN, 0, 4, wants=True)
    temporary: list[tuple[Kind, float]] = [(TILE, 1), (TOKEN, 4 * head.hidden), (WHOLE, head.slice)]
    how = head.projection
    weight = weight_gradient(head.matrix.weights, how) if how.trained else NONE
    if how.trained and how.precision.trained != 4:
        temporary.append((WHOLE, 4 * head.matrix.weights))
    rows = row_copy(tape, head.matrix.weights, how) if how.rows else None
    if rows is None:
        tape.node(loss, (Grad(given),), (given,), temporary, weight)
    else:
        temporary.append((WHOLE, 4 * head.matrix.weights))
        tape.node(loss, (Grad(given), Grad(rows)), (given, rows), temporary)
        tape.drop(rows)
    tape.drop(given)
    return loss


def copy_out(tape: Tape, x: Tensor) -> Tensor:
    """Positions chosen by a mask, of all but the last: each gradient is written into a whole of zeros."""
    out = tape.like(x)
    tape.node(out, (Grad(x),), (), [(x.kind, x.size)])
    return out
