"""The moments of forward and backward passes at which memory can peak, from the tapes of layers and head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from compiler.memory.passes.decoder import Layer
from compiler.memory.passes.head import Head, HeadCost, head_cost
from compiler.memory.passes.layer_cost import LayerCost, layer_cost
from compiler.memory.passes.tape import Bytes, Moved, largest
from schemas.recipe import Checkpointing

Where = Literal["forward", "loss", "last", "first"]
STATISTIC = 4
"""Bytes a head that a fused attention kernel keeps beside what it gives out."""


class Model(Struct, frozen=True):
    """What decides about the passes: each kind of layer with how many there are, the head, what is recomputed.

    `held`: bytes a token of logits that the loop holds from one loss to the next; `graph`: of what stays in the graph
    that they hold, until then too. `trains_input`: whether gradients
    flow to the first layer's input.
    """

    layers: tuple[tuple[Layer, int], ...]
    head: Head
    recomputed: Checkpointing
    held: float
    graph: float
    trains_input: bool


class Moments(Struct, frozen=True):
    """`training`: what a training pass adds at each moment that can be the largest, with where it is: `forward` or
    `loss`, where only gradients of earlier passes exist; `last`, the last layer walked back; `first`, where all others
    have come. `evaluating`: the same without gradients. `boundary`: the input of one layer. `forth` and `back`: what
    all layers write on the way to the loss and from it; `around`: head and loss, both ways."""

    training: tuple[tuple[Bytes, Where], ...]
    evaluating: tuple[Bytes, ...]
    boundary: Bytes
    forth: Moved
    back: Moved
    around: Moved


class _Costs(Struct, frozen=True):
    """A model's tapes. `casts`: bytes of all copies that autocast makes of weights. `held`: see `Model`. `selected`:
    what selective checkpointing keeps of a layer."""

    layers: tuple[tuple[LayerCost, int], ...]
    head: HeadCost
    boundary: Bytes
    selected: Bytes
    casts: Bytes
    held: Bytes
    graph: Bytes


@lru_cache(maxsize=256)
def moments(model: Model) -> Moments:
    """Of this model, for any number of tokens."""
    costs = _costs(model)
    first = Bytes() if model.trains_input else costs.layers[0][0].unneeded
    walked = _kept(costs, first) if model.recomputed is False else _recomputed(costs, model.recomputed)
    training: list[tuple[Bytes, Where]] = [(moment, where) for found, where in walked for moment in largest(found)]
    forth, back = Moved(), Moved()
    for cost, count in costs.layers:
        forth, back = forth.plus(cost.forth, count), back.plus(cost.back, count)
    return Moments(tuple(training), largest(_evaluated(costs)), costs.boundary, forth, back, costs.head.moved)


def _costs(model: Model) -> _Costs:
    head, heads = model.head, model.layers[0][0].heads
    layers = tuple((layer_cost(layer, head.hidden, head.stream), count) for layer, count in model.layers)
    width = head.projection.precision.attention * heads.size + STATISTIC
    return _Costs(
        layers=layers,
        head=head_cost(head),
        boundary=Bytes(token=head.hidden * head.stream),
        selected=Bytes(token=heads.queries * width if heads.kernel in ("flash", "efficient") else 0),
        casts=Bytes(whole=sum(cost.casts * count for cost, count in layers)),
        held=Bytes(logit=model.held),
        graph=Bytes(token=model.graph),
    )


def _kept(run: _Costs, unneeded: Bytes) -> Iterator[tuple[Iterable[Bytes], Where]]:
    """All that layers keep is there until they are walked back; `unneeded`: what the first need not."""
    total = Bytes().plus(unneeded, -1)
    for cost, count in run.layers:
        total = total.plus(cost.kept, count)
    for cost, _ in run.layers:
        others = total.plus(cost.kept, -1).plus(run.held)
        yield _beside(cost.forward, others.plus(run.boundary).plus(run.graph)), "forward"
        yield _beside(cost.backward, others), "last"
        yield _beside(cost.backward, run.held), "first"
    yield [*_beside(run.head.forward, total.plus(run.graph)), *_beside(run.head.backward, total)], "loss"


def _recomputed(run: _Costs, mode: Checkpointing) -> Iterator[tuple[Iterable[Bytes], Where]]:
    """Layers keep their input, of which offloading leaves two; autocast's copies of weights stay until the forward pass
    has ended."""
    each = run.boundary.plus(run.selected) if mode == "selective" else run.boundary
    count = sum(number for _, number in run.layers)
    inputs = Bytes().plus(each, min(count, 2) if mode == "offload" else count)
    others = inputs.plus(each, -1).plus(run.held)
    for cost, _ in run.layers:
        yield _beside(cost.unkept, others.plus(run.casts)), "forward"
        yield _beside(cost.recomputed, others), "last"
        yield _beside(cost.recomputed, run.held), "first"
    yield [*_beside(run.head.forward, inputs.plus(run.casts)), *_beside(run.head.backward, inputs)], "loss"


def _evaluated(run: _Costs) -> Iterator[Bytes]:
    """Copies of weights are made, and held, as in any pass."""
    for cost, _ in run.layers:
        yield from _beside(cost.unkept, run.boundary.plus(run.casts).plus(run.held))
    yield from _beside(run.head.unkept, run.casts)


def _beside(found: Iterable[Bytes], others: Bytes) -> list[Bytes]:
    return [moment.plus(others) for moment in found]
