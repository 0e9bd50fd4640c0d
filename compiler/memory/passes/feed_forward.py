"""The feed-forward part of a layer on the tape: a gated or plain mlp, routed experts, or both."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.passes.adapters import project
from compiler.memory.passes.operators import activate, add, multiply, multiply_small
from compiler.memory.passes.projection import Matrix, Projection, weight_gradient
from compiler.memory.passes.tape import NONE, TOKEN, Grad, Kind, Tape, Tensor


class Mlp(Struct, frozen=True):
    """`into`: gate and up, one matrix that gives both, or a plain one. `gated`: whether two halves are multiplied.
    `fused_kernels`: those that keep gate and up alone and work in place."""

    into: tuple[Matrix, ...]
    out: Matrix
    gated: bool
    fused_kernels: bool


class Experts(Struct, frozen=True):
    """`count` experts of width `inner`, of which a token visits `visits`; with a gate beside the shared one where
    `shared_gate`. `trained`: whether their own weights are."""

    inner: int
    count: int
    visits: int
    hidden: int
    trained: bool
    shared_gate: bool


def feed_forward(tape: Tape, x: Tensor, mlp: Mlp | None, experts: Experts | None, how: Projection) -> Tensor:
    """What the block gives out; the caller owns x."""
    shared = mlp_forward(tape, x, mlp, how) if mlp is not None else None
    routed = _experts(tape, x, experts, how) if experts is not None else None
    if experts is None or routed is None or shared is None:
        return shared or routed or tape.again(x)
    if experts.shared_gate:
        gate = tape.like(x, count=1)
        tape.node(gate, (Grad(x),))
        shared = tape.instead(shared, multiply_small(tape, shared, gate))
        tape.drop(gate)
    out = add(tape, routed, shared)
    tape.drop(routed, shared)
    return out


def mlp_forward(tape: Tape, x: Tensor, mlp: Mlp, how: Projection) -> Tensor:
    """down(act(gate(x)) * up(x)), or down(act(up(x)))."""
    if not mlp.gated:
        up = project(tape, x, mlp.into[0], how)
        inner = activate(tape, up)
        tape.drop(up)
    elif len(mlp.into) == 1:
        inner = _halves(tape, x, mlp, how)
    else:
        gate = project(tape, x, mlp.into[0], how)
        active = gate if mlp.fused_kernels else activate(tape, gate)
        if not mlp.fused_kernels:
            tape.drop(gate)
        up = project(tape, x, mlp.into[1], how)
        inner = _in_place(tape, active, up) if mlp.fused_kernels else multiply(tape, active, up)
        tape.drop(active, up)
    out = project(tape, inner, mlp.out, how)
    tape.drop(inner)
    return out


def _halves(tape: Tape, x: Tensor, mlp: Mlp, how: Projection) -> Tensor:
    """Gate and up as two views of one tensor."""
    both = project(tape, x, mlp.into[0], how)
    gate, up = (tape.view(both, both.count / 2) for _ in range(2))
    active = activate(tape, gate)
    inner = multiply(tape, up, active)
    tape.drop(both, gate, up, active)
    return inner


def _in_place(tape: Tape, gate: Tensor, up: Tensor) -> Tensor:
    """Liger's silu and product in one: the gradients take the place of what was kept."""
    out = tape.like(gate)
    tape.node(out, (Grad(gate), Grad(up)), (gate, up))
    return out


def _experts(tape: Tape, x: Tensor, experts: Experts, how: Projection) -> Tensor:
    """transformers' grouped_mm: tokens sorted by expert, two grouped products, the router's weights, and a sum."""
    scores = _routed(tape, x, experts, how)
    chosen = tape.like(x, count=experts.visits * experts.hidden)
    tape.node(chosen, (Grad(x),), (), _sorted(experts))
    both = _grouped(tape, chosen, 2 * experts.inner, experts, how)
    gate, up = (tape.view(both, both.count / 2) for _ in range(2))
    active = activate(tape, gate)
    inner = multiply(tape, active, up)
    tape.drop(gate, up, active)
    tape.drop(both)
    out = _grouped(tape, inner, experts.hidden, experts, how)
    tape.drop(inner)
    weighted = multiply_small(tape, out, scores)
    back = tape.like(weighted)
    tape.node(back, (Grad(weighted),))
    tape.drop(weighted)
    summed = tape.like(x)
    tape.node(summed, (Grad(back),))
    tape.drop(back, out, chosen, scores)
    return summed


def _sorted(experts: Experts) -> tuple[tuple[Kind, float], ...]:
    """Sorting positions, in 64-bit integers, with a copy."""
    return ((TOKEN, 4 * 8 * experts.visits),)


def _routed(tape: Tape, x: Tensor, experts: Experts, how: Projection) -> Tensor:
    """The router: scores of all experts in float32, of which some are chosen."""
    logits = tape.like(x, count=experts.count)
    tape.node(logits, (Grad(x),), (x,) if how.trained else ())
    chances = tape.new(TOKEN, experts.count, 4, wants=True)
    tape.node(chances, (Grad(logits),), (chances,))
    tape.drop(logits)
    scores = tape.new(TOKEN, 2 * experts.visits, 4, wants=True)
    tape.node(scores, (Grad(chances),))
    tape.drop(chances)
    indices = tape.new(TOKEN, 3 * experts.visits, 8)
    tape.node(scores, (), (indices,))
    tape.drop(indices)
    return scores


def _grouped(tape: Tape, x: Tensor, width: int, experts: Experts, how: Projection) -> Tensor:
    """A product with a stack of weights: the input is kept where they are trained."""
    out = tape.like(x, count=experts.visits * width)
    elements = int(experts.count * width * x.count / experts.visits)
    weight = weight_gradient(elements, how) if experts.trained else NONE
    tape.node(out, (Grad(x),), (x,) if experts.trained else (), weight=weight)
    return out
