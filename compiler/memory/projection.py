"""A linear layer as a run has it: frozen, trained or quantised, with or without an adapter."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.operators import add, cast, copy, drop_out, scale
from compiler.memory.precision import Precision
from compiler.memory.tape import TOKEN, WHOLE, Grad, Kind, Tape, Tensor, Weight
from schemas.method_plan import LoraPlan, QuantizationPlan

SCALES = 4 / 64
"""Bytes of float32 scales an element, while a 4-bit weight is expanded."""


class Projection(Struct, frozen=True):
    """What all linear layers of a run have in common.

    `trained`: whether the base's own weights are. `fresh`: whether gradients come for the first time since the last
    step, rather than being added to those there. `method`: what the adapters are like, None where there are none.
    """

    precision: Precision
    trained: bool
    fresh: bool
    quantization: QuantizationPlan | None
    method: LoraPlan | None
    casts_inputs: bool


class Matrix(Struct, frozen=True):
    """One linear layer: elements in, elements out, whether it carries an adapter; `kind`: of what it gives out."""

    d_in: int
    d_out: int
    adapted: bool
    kind: Kind = TOKEN

    @property
    def weights(self) -> int:
        """Elements of the weight."""
        return self.d_in * self.d_out


def project(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    """The layer's output for `x`, which the caller keeps."""
    base = _base(tape, x, matrix, how)
    if not matrix.adapted or how.method is None:
        return base
    if how.quantization is not None and how.quantization.bits == 4:
        cloned = copy(tape, base)  # PEFT clones what 4-bit layers give out
        tape.drop(base)
        base = cloned
    return _adapt(tape, x, base, matrix, how, how.method)


def _base(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    if how.quantization is not None:
        return _quantised(tape, x, matrix, how)
    width = how.precision.base if how.precision.autocast else x.width
    given = cast(tape, x, width)
    out = _product(tape, given, matrix, how, trained=how.trained)
    tape.drop(given)
    return out


def _product(tape: Tape, x: Tensor, matrix: Matrix, how: Projection, *, trained: bool) -> Tensor:
    """x W, with W's gradient where it is trained: of autocast's copy of it first, where there is one."""
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


def _quantised(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    """bitsandbytes expands the weight in both directions; in 8 bit it keeps its input."""
    assert how.quantization is not None
    if how.quantization.bits == 8:
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
    is kept where checkpointing does not see it (`ctx.tensors`, bitsandbytes 0.50 autograd/_functions.py)."""
    tape.temporary(TOKEN, 3 * matrix.d_in + 6 * matrix.d_out)
    tape.stick(x)
    out = tape.like(x, count=matrix.d_out)
    tape.node(out, (Grad(x),), (x,), [(WHOLE, 2 * matrix.weights * x.width)])
    return out


def _adapt(tape: Tape, x: Tensor, base: Tensor, matrix: Matrix, how: Projection, method: LoraPlan) -> Tensor:
    """`base` with the adapter's part added: PEFT's forward pass."""
    given = cast(tape, x, how.precision.trained) if _casts(how) else _same(x)
    wet = drop_out(tape, given) if method.dropout else _same(given)
    if method.kind in ("dora", "qdora"):
        part = with_magnitude(tape, wet, base, matrix, how, method)
    else:
        low = low_rank(tape, wet, matrix, how, method.rank)
        part = scale(tape, low)
        tape.drop(low)
        if how.quantization is not None and not how.precision.autocast:
            wide, part = part, cast(tape, part, base.width)
            tape.drop(wide)
    out = add(tape, base, part)
    width = base.width
    tape.drop(part, base, wet)
    result = cast(tape, out, width)
    tape.drop(out, given)
    return result


def _same(x: Tensor) -> Tensor:
    x.refs += 1
    return x


def _casts(how: Projection) -> bool:
    """Whether PEFT casts the input to the adapter's type: 4-bit layers leave that to autocast."""
    return how.casts_inputs and not (how.quantization is not None and how.precision.autocast)


def low_rank(tape: Tape, x: Tensor, matrix: Matrix, how: Projection, rank: int) -> Tensor:
    """B(A(x)), each with its weight's gradient."""
    inner = _factor(tape, x, Matrix(matrix.d_in, rank, False), how)
    out = _factor(tape, inner, Matrix(rank, matrix.d_out, False, matrix.kind), how)
    tape.drop(inner)
    return out


def _factor(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    """One of the adapter's two products: in 16 bit under autocast, else in the adapter's type."""
    given = cast(tape, x, how.precision.base if how.precision.autocast else x.width)
    out = _product(tape, given, matrix, how, trained=True)
    tape.drop(given)
    return out


def with_magnitude(tape: Tape, x: Tensor, base: Tensor, matrix: Matrix, how: Projection, method: LoraPlan) -> Tensor:
    """DoRA's part: (m - 1) W x + m B(A(x)) s, with m from the norm of the updated weight. Its locals live until it ends:
    the update as a matrix with what it was made from, and the weight. With dropout W x is computed anew, of what was
    left of x, and keeps the weight."""
    made = _update(tape, x, matrix, how)
    weight = _plain_weight(tape, x, matrix, how)
    for _ in range(2):  # the update times its scale, and the sum with the weight
        made.append(tape.new(WHOLE, matrix.weights, x.width))
    tape.drop(made.pop(), made.pop())
    low = low_rank(tape, x, matrix, how, method.rank)
    again = _again(tape, x, weight, matrix, how) if method.dropout else _same(base)
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
    if precision.autocast and precision.trained == 4:
        narrow = tape.new(WHOLE, matrix.d_in**2, precision.base)
        tape.drop(unit)
        unit = narrow
    made = tape.new(WHOLE, matrix.weights, unit.width)
    update = cast(tape, made, x.width)
    tape.drop(made)
    return [unit, update]


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
