"""Linear layers with what PEFT puts on them: LoRA, IA3's vectors; DoRA's magnitudes are in `magnitude`."""

from __future__ import annotations

from compiler.memory.passes.magnitude import multiply_vector, with_magnitude
from compiler.memory.passes.operators import add, cast, copy, drop_out, scale
from compiler.memory.passes.projection import LowRank, Matrix, Projection, Vector, low_rank, product
from compiler.memory.passes.tape import Tape, Tensor


def project(tape: Tape, x: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    """The layer's output for `x`, which the caller keeps."""
    adapter = matrix.adapter
    if isinstance(adapter, Vector):
        return _scaled(tape, x, matrix, how, on_input=adapter.on_input)
    base = product(tape, x, matrix, how)
    if adapter is None:
        return base
    if how.quantization is not None and how.quantization.bits == 4:
        base = tape.instead(base, copy(tape, base))  # PEFT clones what 4-bit layers give out
    given = cast(tape, x, how.precision.trained) if casts(how) else tape.again(x)
    out = _adapted(tape, given, base, matrix, how)
    # Under autocast PEFT leaves what quantised layers give out in the type of the sum: float32 under DoRA.
    left = how.quantization is not None and how.precision.autocast
    result = cast(tape, out, out.width if left else base.width)
    tape.drop(base, out, given)
    return result


def _adapted(tape: Tape, x: Tensor, base: Tensor, matrix: Matrix, how: Projection) -> Tensor:
    """`base` with the adapter's part added: PEFT's forward pass."""
    adapter = matrix.adapter
    wet = drop_out(tape, x) if isinstance(adapter, LowRank) and adapter.dropout else tape.again(x)
    if isinstance(adapter, LowRank) and adapter.magnitude:
        part = with_magnitude(tape, wet, base, matrix, how)
    else:
        low = low_rank(tape, wet, matrix, how)
        part = scale(tape, low)
        tape.drop(low)
        if how.quantization is not None and not how.precision.autocast:
            part = tape.instead(part, cast(tape, part, base.width))
    out = add(tape, base, part)
    tape.drop(part, wet)
    return out


def _scaled(tape: Tape, x: Tensor, matrix: Matrix, how: Projection, *, on_input: bool) -> Tensor:
    """IA3: the input, or the output, times a vector in its type."""
    if not on_input:
        base = product(tape, x, matrix, how)
        return _narrowed(tape, base, multiply_vector(tape, base, how), base.width)
    wide = cast(tape, x, how.precision.trained)
    given = _narrowed(tape, wide, multiply_vector(tape, wide, how), x.width)
    out = product(tape, given, matrix, how)
    tape.drop(given)
    return out


def _narrowed(tape: Tape, factor: Tensor, wide: Tensor, width: float) -> Tensor:
    """A product in this width; it and its factor are given up."""
    out = cast(tape, wide, width)
    tape.drop(factor, wide)
    return out


def casts(how: Projection) -> bool:
    """Whether PEFT casts the input to the adapter's type: 4-bit layers leave that to autocast."""
    return how.casts_inputs and not (how.quantization is not None and how.precision.autocast)
