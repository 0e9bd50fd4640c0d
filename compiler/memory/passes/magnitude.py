"""DoRA: a trained magnitude for each output, over the norm of the updated weight."""

from __future__ import annotations

from compiler.memory.passes.operators import add, cast, scale
from compiler.memory.passes.projection import LowRank, Matrix, Projection, low_rank
from compiler.memory.passes.tape import WHOLE, Grad, Tape, Tensor


def with_magnitude(tape: Tape, x: Tensor, base: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    """DoRA's part: (m - 1) W x + m B(A(x)) s, with m from the norm of the updated weight. Its locals live until it
    ends: the update as a matrix with what it was made from, and the weight. With dropout W x is computed anew, of what
    was left of x, and keeps the weight."""
    made = _update(tape, x, matrix, how)
    weight = _plain_weight(tape, x, matrix, how)
    for _ in range(2):  # the update times its scale, and the sum with the weight
        made.append(tape.new(WHOLE, matrix.weights, x.width))
    tape.drop(made.pop(), made.pop())
    low = low_rank(tape, x, matrix, how)
    wet = isinstance(matrix.adapter, LowRank) and matrix.adapter.dropout
    again = _again(tape, x, weight, matrix, how) if wet else tape.again(base)
    kept, moved = multiply_vector(tape, again, how), multiply_vector(tape, low, how)
    scaled = scale(tape, moved)
    tape.drop(moved)
    out = add(tape, kept, scaled)
    tape.drop(scaled, kept, again, low, *weight, *made)
    return out


def _update(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> list[Tensor]:
    """The adapter's update as a matrix, made by sending a unit matrix through it, and what that keeps."""
    precision = how.precision
    unit = tape.new(WHOLE, matrix.d_in**2, precision.trained)
    given = cast(tape, unit, precision.base if precision.autocast else unit.width)
    made = tape.new(WHOLE, matrix.weights, given.width)
    tape.drop(unit)
    update = cast(tape, made, x.width)
    tape.drop(made)
    return [given, update]


def _plain_weight(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> tuple[Tensor, ...]:
    """The base's weight in the input's type: expanded, or cast, or the one that is there."""
    if how.quantization is None:
        return () if x.width == how.precision.rest else (tape.new(WHOLE, matrix.weights, x.width),)
    expanded = tape.new(WHOLE, matrix.weights, how.precision.base)
    weight = cast(tape, expanded, x.width)
    tape.drop(expanded)
    return (weight,)


def _again(tape: Tape, x: Tensor, weight: tuple[Tensor, ...], matrix: Matrix, how: Projection) -> Tensor:
    """The base's product once more; autocast narrows input and weight for it."""
    precision = how.precision
    width = precision.base if precision.autocast else x.width
    given = cast(tape, x, width)
    used = tuple(cast(tape, item, width) for item in weight)
    out = tape.new(matrix.kind, matrix.d_out, width, wants=x.wants)
    tape.node(out, (Grad(given),), used)
    tape.drop(given, *used)
    return out


def multiply_vector(tape: Tape, x: Tensor, how: Projection) -> Tensor:
    """A product with a trained vector: the input is kept, and the vector's gradient is summed from one of the full
    size."""
    out = tape.like(x, width=max(x.width, how.precision.trained))
    wide = [(x.kind, out.size)] * (1 if x.width == out.width else 2)
    tape.node(out, (Grad(x),), (x,), wide)
    return out
