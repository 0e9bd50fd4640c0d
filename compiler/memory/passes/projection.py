"""The product of a linear layer as a run has it: frozen, trained or quantised."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.passes.operators import cast
from compiler.memory.passes.tape import TOKEN, WHOLE, Grad, Kind, Tape, Tensor, Weight
from compiler.memory.precision import Precision
from schemas.method_plan import QuantizationPlan

SCALES = 4 / 64
"""Bytes of float32 scales an element, while a 4-bit weight is expanded."""


class Projection(Struct, frozen=True):
    """What all linear layers of a run have in common.

    `trained`: whether the base's own weights are; `rows`: whether some of their rows are, so that PEFT multiplies by a
    copy in which these stand. `fresh`: whether gradients come for the first time since the last
    step, rather than being added to those there. `casts_inputs`: whether PEFT casts inputs to the adapter's type.
    """

    precision: Precision
    trained: bool
    fresh: bool
    quantization: QuantizationPlan | None
    casts_inputs: bool
    rows: bool = False


class LowRank(Struct, frozen=True):
    """LoRA's adapter; `magnitude`: DoRA's, which scales the outputs of the updated weight."""

    rank: int
    dropout: bool
    magnitude: bool


class Vector(Struct, frozen=True):
    """IA3's: a trained vector that scales what goes in, or what comes out."""

    on_input: bool


class Matrix(Struct, frozen=True):
    """One linear layer: elements in, elements out, its adapter; `kind`: of what it gives out."""

    d_in: int
    d_out: int
    adapter: LowRank | Vector | None = None
    kind: Kind = TOKEN

    @property
    def weights(self) -> int:
        """Elements of the weight."""
        return self.d_in * self.d_out


def product(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    """What the base's layer gives out for `x`, which the caller keeps."""
    if how.quantization is not None:
        return _quantised(tape, x, matrix, how, how.quantization.bits)
    width = how.precision.base if how.precision.autocast else x.width
    given = cast(tape, x, width)
    out = weighted(tape, given, matrix, how, trained=how.trained)
    tape.drop(given)
    return out


def weighted(tape: Tape, x: Tensor, matrix: Matrix, how: Projection, *, trained: bool) -> Tensor:
    """x W, with W's gradient where it is trained: of autocast's copy of it first, where there is one."""
    if how.rows:
        return _by_copy(tape, x, matrix, how)
    narrow = _narrowed(tape, matrix.weights, how, trained=trained)
    out = tape.new(matrix.kind, matrix.d_out, x.width, wants=x.wants or trained)
    if narrow is not None:
        tape.node(out, (Grad(x), Grad(narrow)), (x, narrow) if trained else (narrow,))
        tape.drop(narrow)
    elif trained:
        tape.node(out, (Grad(x),), (x,), weight=weight_gradient(matrix.weights, how))
    else:
        tape.node(out, (Grad(x),))
    return out


def _by_copy(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    """x W with some rows of W trained: the copy is kept, and its gradient is there as a whole for a moment."""
    copy_of = row_copy(tape, matrix.weights, how)
    out = tape.new(matrix.kind, matrix.d_out, x.width, wants=True)
    tape.node(out, (Grad(x), Grad(copy_of)), (x, copy_of))
    tape.drop(copy_of)
    return out


def row_copy(tape: Tape, elements: int, how: Projection) -> Tensor:
    """A weight with its trained rows in it."""
    copy_of = tape.new(WHOLE, elements, how.precision.rest, wants=True)
    tape.node(copy_of, ())
    return copy_of


def _narrowed(tape: Tape, elements: int, how: Projection, *, trained: bool) -> Tensor | None:
    """Autocast's 16-bit copy of a float32 weight; of a trained one it is kept until the forward pass has ended."""
    precision = how.precision
    if not precision.autocast or (precision.trained if trained else precision.rest) != 4:
        return None
    copy_of = tape.new(WHOLE, elements, precision.base, wants=trained)
    if trained:
        tape.casts += copy_of.size
        tape.node(copy_of, (), weight=weight_gradient(elements, how))
    return copy_of


def weight_gradient(elements: int, how: Projection) -> Weight:
    """Where gradients of earlier passes are there, a new one is added to them."""
    return Weight(elements * how.precision.trained, added=not how.fresh)


def _quantised(tape: Tape, x: Tensor, matrix: Matrix, how: Projection, bits: int) -> Tensor:
    """bitsandbytes expands the weight in both directions; in 8 bit it keeps its input."""
    if bits == 8:
        return _eight_bit(tape, x, matrix)
    given = cast(tape, x, how.precision.base)
    expanded = matrix.weights * (how.precision.base + SCALES)
    tape.temporary(WHOLE, expanded)
    out = tape.like(given, count=matrix.d_out)
    tape.node(out, (Grad(given),), (), [(WHOLE, expanded)])
    tape.drop(given)
    given_back = cast(tape, out, x.width)
    tape.drop(out)
    return given_back


def _eight_bit(tape: Tape, x: Tensor, matrix: Matrix) -> Tensor:
    """The input quantised a row at a time, products in 32-bit integers; the weight expanded for the gradient. The input
    is kept (`ctx.tensors`, bitsandbytes 0.50 autograd/_functions.py)."""
    tape.temporary(TOKEN, 3 * matrix.d_in + 6 * matrix.d_out)
    out = tape.like(x, count=matrix.d_out)
    tape.node(out, (Grad(x),), (x,), [(WHOLE, matrix.weights * x.width)])
    return out


def low_rank(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    """B(A(x)), each with its weight's gradient."""
    rank = matrix.adapter.rank if isinstance(matrix.adapter, LowRank) else 0
    inner = factor(tape, x, Matrix(matrix.d_in, rank), how)
    out = factor(tape, inner, Matrix(rank, matrix.d_out, kind=matrix.kind), how)
    tape.drop(inner)
    return out


def factor(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    """One of an adapter's products: in 16 bit under autocast, else in the adapter's type."""
    given = cast(tape, x, how.precision.base if how.precision.autocast else x.width)
    out = weighted(tape, given, matrix, how, trained=True)
    tape.drop(given)
    return out
