"""One decoder layer on the tape: transformers' modules in the order in which they run, with what Python holds on to."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.passes.adapters import project
from compiler.memory.passes.attention import Heads, attend, rotate
from compiler.memory.passes.feed_forward import Experts, Mlp, feed_forward
from compiler.memory.passes.operators import activate, add, fused_norm, rms_norm
from compiler.memory.passes.projection import Matrix, Projection, factor
from compiler.memory.passes.tape import Tape, Tensor


class Layer(Struct, frozen=True):
    """The shape of a decoder layer. `attention`: its linear layers, q, k, v and o, or qkv and o.

    `bottlenecks`: width of an inserted adapter, and behind how many of the two blocks there is one.
    `norms_after`: whether what attention and the mlp give out is normed too. `head_norms`: whether queries and keys
    are. `wide_norms`: whether norms multiply in float32 (gemma). `fused_norms`: whether each is one kernel.
    """

    heads: Heads
    attention: tuple[Matrix, ...]
    mlp: Mlp | None
    experts: Experts | None
    norms_after: bool
    head_norms: bool
    wide_norms: bool
    fused_norms: bool
    projection: Projection
    bottleneck: int = 0
    bottlenecks: int = 0


def decode(tape: Tape, x: Tensor, layer: Layer) -> Tensor:
    """The layer's output; the caller owns x."""
    given = norm(tape, x, layer)
    middle = _joined(tape, x, _attention(tape, given, layer), layer, inserted=layer.bottlenecks > 1)
    tape.drop(given)
    given = norm(tape, middle, layer)
    after = feed_forward(tape, given, layer.mlp, layer.experts, layer.projection)
    out = _joined(tape, middle, after, layer, inserted=layer.bottlenecks > 0)
    tape.drop(given, middle)
    return out


def norm(tape: Tape, x: Tensor, layer: Layer) -> Tensor:
    """One RMSNorm of this model."""
    if layer.fused_norms:
        return fused_norm(tape, x, in_place=not layer.wide_norms)
    return rms_norm(tape, x, trained=layer.projection.trained, wide_weight=layer.wide_norms)


def _joined(tape: Tape, residual: Tensor, branch: Tensor, layer: Layer, *, inserted: bool) -> Tensor:
    """The residual sum, after an adapter or a norm where there is one. The branch is given up."""
    if inserted:
        branch = _bottleneck(tape, branch, layer)
    if layer.norms_after:
        branch = tape.instead(branch, norm(tape, branch, layer))
    out = add(tape, residual, branch)
    tape.drop(branch)
    return out


def _bottleneck(tape: Tape, x: Tensor, layer: Layer) -> Tensor:
    """x + up(act(down(x))), with trained weights. x is given up."""
    down = factor(tape, x, Matrix(int(x.count), layer.bottleneck), layer.projection)
    active = activate(tape, down)
    up = factor(tape, active, Matrix(layer.bottleneck, int(x.count)), layer.projection)
    out = add(tape, x, up)
    tape.drop(x, down, active, up)
    return out


def _attention(tape: Tape, x: Tensor, layer: Layer) -> Tensor:
    q, k, v = _heads(tape, x, layer)
    if layer.head_norms:
        q, k = _normed(tape, q, layer), _normed(tape, k, layer)
    turned_q, turned_k = rotate(tape, q, layer.heads), rotate(tape, k, layer.heads)
    tape.drop(q, k)
    heads = attend(tape, turned_q, turned_k, v, layer.heads)
    out = project(tape, heads, layer.attention[-1], layer.projection)
    tape.drop(turned_q, turned_k, v, heads)
    return out


def _heads(tape: Tape, x: Tensor, layer: Layer) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values."""
    heads, how = layer.heads, layer.projection
    if not heads.fused:
        q, k, v = (project(tape, x, matrix, how) for matrix in layer.attention[:3])
        return q, k, v
    whole = project(tape, x, layer.attention[0], how)
    q, k, v = (tape.view(whole, count * heads.size) for count in (heads.queries, heads.keys, heads.keys))
    tape.drop(whole)
    return q, k, v


def _normed(tape: Tape, x: Tensor, layer: Layer) -> Tensor:
    return tape.instead(x, norm(tape, x, layer))
