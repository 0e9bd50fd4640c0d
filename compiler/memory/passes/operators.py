"""What torch's operators allocate, keep and hand back. Each returns a tensor that the caller owns and drops.

Rules are those of torch 2.13's derivatives: a product keeps what the other factor's gradient needs, and so on.
"""

from __future__ import annotations

from compiler.memory.passes.tape import Grad, Tape, Tensor


def cast(tape: Tape, x: Tensor, width: float) -> Tensor:
    """`x.to(type)`: the tensor itself where it has that width."""
    if x.width == width:
        return tape.again(x)
    out = tape.like(x, width=width)
    tape.node(out, (Grad(x),))
    return out


def copy(tape: Tape, x: Tensor) -> Tensor:
    """`clone()`, or `contiguous()` of what is not."""
    out = tape.like(x)
    tape.node(out, (Grad(x),))
    return out


def scale(tape: Tape, x: Tensor) -> Tensor:
    """A product with a number, or a constant that needs no gradient and is there anyway."""
    out = tape.like(x)
    tape.node(out, (Grad(x),))
    return out


def add(tape: Tape, x: Tensor, y: Tensor) -> Tensor:
    """A sum, in the wider type; what it hands back is what it got, unless that has to be cast."""
    width = max(x.width, y.width)
    out = tape.new(x.kind, x.count, width, wants=x.wants or y.wants)
    tape.node(out, (Grad(x, shared=x.width == width), Grad(y, shared=y.width == width)))
    return out


def multiply(tape: Tape, x: Tensor, y: Tensor) -> Tensor:
    """An elementwise product: each factor is kept for the other's gradient."""
    width = max(x.width, y.width)
    out = tape.new(x.kind, x.count, width, wants=x.wants or y.wants)
    keeps = [factor for factor, other in ((x, y), (y, x)) if other.wants]
    wide = [(item.kind, item.count * width) for item in (x, y) if item.wants and item.width != width]
    tape.node(out, (Grad(x), Grad(y)), keeps, wide)
    return out


def activate(tape: Tape, x: Tensor) -> Tensor:
    """silu, gelu and the like, which keep their input."""
    out = tape.like(x)
    tape.node(out, (Grad(x),), (x,))
    return out


def squash(tape: Tape, x: Tensor) -> Tensor:
    """tanh and softmax, which keep what they give out."""
    out = tape.like(x)
    tape.node(out, (Grad(x),), (out,))
    return out


def drop_out(tape: Tape, x: Tensor) -> Tensor:
    """CUDA's fused dropout: a mask of booleans is kept."""
    out = tape.like(x)
    mask = tape.like(x, width=1, wants=False)
    tape.node(out, (Grad(x),), (mask,))
    tape.drop(mask)
    return out


def rms_norm(tape: Tape, x: Tensor, *, trained: bool, wide_weight: bool) -> Tensor:
    """transformers' RMSNorm in single operators: float32 inside. `wide_weight`: the weight is multiplied in float32
    before the result is narrowed (gemma), else after."""
    wide = cast(tape, x, 4)
    squares = tape.like(wide)
    # Its gradient is the exponent times the input, times what was handed back: two more of its size for a moment.
    tape.node(squares, (Grad(wide),), (wide,), [(wide.kind, wide.size)] * 2)
    small = tape.like(wide, count=1)
    tape.node(small, (Grad(squares),))
    tape.drop(squares)
    normed = multiply_small(tape, wide, small)
    tape.drop(small)
    if wide_weight:
        out = _weighted(tape, normed, trained=trained)
        tape.drop(normed, wide)
        narrow = cast(tape, out, x.width)
        tape.drop(out)
        return narrow
    narrow = cast(tape, normed, x.width)
    out = _weighted(tape, narrow, trained=trained)
    tape.drop(narrow, normed, wide)
    return out


def fused_norm(tape: Tape, x: Tensor, *, in_place: bool) -> Tensor:
    """RMSNorm as one kernel: its input is kept as it is, and a float32 number a row. `in_place`: its gradient takes the
    place of what was handed back (liger_kernel 0.8.5, ops/rms_norm.py)."""
    out = tape.like(x)
    small = tape.like(x, width=4, count=1)
    tape.node(out, (Grad(x, shared=in_place),), (x, small))
    tape.drop(small)
    return out


def multiply_small(tape: Tape, x: Tensor, small: Tensor) -> Tensor:
    """A product with one number a row, such as the norm of it, whose gradient is summed from one of the full size."""
    out = tape.like(x)
    tape.node(out, (Grad(x), Grad(small)), (x, small), [(x.kind, x.size)] if small.wants else ())
    return out


def _weighted(tape: Tape, x: Tensor, *, trained: bool) -> Tensor:
    """A product with a vector of weights; where it is trained, its gradient is summed from one of the full size."""
    out = tape.like(x)
    tape.node(out, (Grad(x),), (x,) if trained else (), [(x.kind, x.size)] if trained else ())
    return out
