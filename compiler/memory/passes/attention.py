"""Attention as CUDA runs it: the fused kernels, their fall-back to single products, and eager's."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.batch import Kernel
from compiler.memory.passes.operators import add, cast, copy, scale, squash
from compiler.memory.passes.tape import PAIR, TOKEN, Grad, Kind, Tape, Tensor


class Heads(Struct, frozen=True):
    """`queries`, `keys`: how many heads. `size`: elements of one head. `values`: elements of one head of values.

    `kernel`: flash and efficient are fused; math and eager write scores. `masked`: a mask over pairs is given.
    `softcap`: whether scores are capped. `fused`: one module gives queries, keys and values. `autocast`: the width that
    products are computed in, 0 where that is the inputs'. `rows`: whether there is more than one row.
    """

    queries: int
    keys: int
    size: int
    kernel: Kernel
    masked: bool
    softcap: bool
    fused: bool
    autocast: int
    rows: bool


def rotate(tape: Tape, x: Tensor, heads: Heads) -> Tensor:
    """Rotary positions: x cos + rotate_half(x) sin. Where queries, keys and values are slices of one tensor (phi3),
    what is turned is joined with what is not."""
    cosine = scale(tape, x)
    half = tape.like(x, count=x.count / 2)
    turned = tape.like(x)
    # Halves of the gradient are views; each is written into a whole of zeros, the first of which takes the second.
    tape.node(turned, (Grad(x),), (), [(x.kind, x.size / 2), (x.kind, x.size)])
    tape.drop(half)
    sine = scale(tape, turned)
    tape.drop(turned)
    out = add(tape, cosine, sine)
    tape.drop(cosine, sine)
    return tape.instead(out, copy(tape, out)) if heads.fused else out


def attend(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """What attention gives out, laid out for the next product. The caller keeps q, k and v."""
    grouped = heads.queries != heads.keys
    if heads.kernel == "eager":
        return _eager(tape, q, k, v, heads)
    if heads.kernel == "math":
        return _math(tape, q, k, v, heads)
    q, k, v = (cast(tape, item, heads.autocast or item.width) for item in (q, k, v))
    expanded = heads.kernel == "efficient" and grouped
    keys, values = (_expanded(tape, item, heads) if expanded else tape.again(item) for item in (k, v))
    tape.drop(k, v)
    out = _fused(tape, q, keys, values, heads)
    tape.drop(q, keys, values)
    # Flash gives out what is laid out as its queries are, the efficient kernel what the next product takes.
    return tape.instead(out, copy(tape, out)) if heads.fused and heads.kernel == "flash" else out


def _expanded(tape: Tape, x: Tensor, heads: Heads) -> Tensor:
    """Keys or values copied to as many heads as queries have; a single head is a view."""
    if heads.keys == 1:
        return tape.again(x)
    out = tape.like(x, count=x.count * heads.queries / heads.keys)
    # The sum over copies is of the expanded size before it is of the heads' own.
    tape.node(out, (Grad(x),))
    return out


def _fused(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """One kernel, which keeps its inputs, what it gives out, and a float32 statistic a head. Flash's gradient needs a
    float32 sum of the queries' size, and one of keys and values as wide as the queries where heads are grouped
    (flash_api.cpp, mha_bwd)."""
    keeps: list[Tensor] = [q, k, v]
    mask = None
    if heads.masked and heads.kernel == "efficient":
        mask = tape.new(PAIR, 1, q.width)
        keeps.append(mask)
    out = tape.like(q)
    statistic = tape.new(TOKEN, heads.queries, 4)
    temporary: list[tuple[Kind, float]] = [(TOKEN, 4 * q.count)]
    if heads.kernel == "flash" and heads.queries != heads.keys:
        temporary.append((TOKEN, 2 * q.size))
    tape.node(out, (Grad(q), Grad(k), Grad(v)), (*keeps, out, statistic), temporary)
    tape.drop(statistic, *([mask] if mask else ()))
    return out


def _math(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """Products and a softmax in float32, with keys and values expanded and the scale put on queries and keys; the mask
    is added in place."""
    wide_q, wide_k, wide_v = (cast(tape, item, 4) for item in (q, k, v))
    scaled = scale(tape, wide_q)
    keys, values = _expanded(tape, wide_k, heads), _expanded(tape, wide_v, heads)
    scaled_keys = scale(tape, keys)
    scores = _product(tape, scaled, scaled_keys, PAIR, heads.queries)
    tape.temporary(PAIR, 5)  # a causal mask of booleans, and as numbers
    weights = squash(tape, scores)
    out = _product(tape, weights, values, TOKEN, q.count)
    narrow = cast(tape, out, q.width)
    tape.drop(wide_q, wide_k, wide_v, scaled, keys, values, scaled_keys, scores, weights, out)
    return tape.instead(narrow, copy(tape, narrow))


def add_constant(tape: Tape, x: Tensor) -> Tensor:
    """A sum with something that needs no gradient."""
    out = tape.like(x)
    tape.node(out, (Grad(x, shared=True),))
    return out


def _product(tape: Tape, x: Tensor, y: Tensor, kind: Kind, count: float) -> Tensor:
    """A product of two tensors, both of which are kept."""
    out = tape.new(kind, count, x.width, wants=x.wants or y.wants)
    tape.node(out, (Grad(x), Grad(y)), (x, y))
    return out


def _eager(tape: Tape, q: Tensor, k: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """transformers' eager_attention_forward: scores in the type of the queries, softmax in float32."""
    width = heads.autocast or q.width
    grouped = heads.queries != heads.keys
    keys, values = (_expanded(tape, item, heads) if grouped else tape.again(item) for item in (k, v))
    queries, narrow = cast(tape, q, width), cast(tape, keys, width)
    if heads.rows:
        queries = tape.instead(queries, copy(tape, queries))  # heads of several rows are laid out anew
    raw = _product(tape, queries, narrow, PAIR, heads.queries)
    tape.drop(queries, narrow)
    scores = scale(tape, raw)
    tape.drop(raw)
    for step in (scale, squash, scale) if heads.softcap else ():
        scores = tape.instead(scores, step(tape, scores))
    scores = tape.instead(scores, add_constant(tape, scores))
    wide = cast(tape, scores, 4)
    chances = squash(tape, wide)
    tape.drop(wide)
    weights = cast(tape, chances, scores.width)
    tape.drop(chances, scores)
    chosen = cast(tape, values, width)
    out = _product(tape, weights, chosen, TOKEN, q.count)
    laid_out = copy(tape, out)
    tape.drop(out, chosen, weights, keys, values)
    return laid_out
