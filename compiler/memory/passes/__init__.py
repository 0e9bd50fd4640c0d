"""The moments of forward and backward passes at which memory can peak, from the tapes of layers and head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory.batch import Batch, mask
from compiler.memory.loss import computed_loss, held_logits, tile
from compiler.memory.passes.head import Head, HeadCost, head_cost
from compiler.memory.passes.layer_cost import LayerCost, layer_cost
from compiler.memory.passes.layers import layer_kinds, low_rank_of, projection
from compiler.memory.passes.projection import Matrix
from compiler.memory.passes.tape import LOGIT, Bytes
from compiler.memory.precision import Precision
from compiler.memory.stacks import Profile
from compiler.memory.trainable import outer_adapters
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan

INTEGERS = 5 * 8
"""Bytes a token of ids, labels, labels moved by one, positions, and one more copy of them."""
SLICE = 32768
"""Rows of the head that TRL's loss takes at once."""
SELECTED = 4
"""Bytes a head of the statistic that selective checkpointing keeps beside what attention gives out."""


class Passes(Struct, frozen=True):
    """Forward and backward of one micro batch: each kind of layer with its number, the head, what lies around them.

    `shared`: bytes alive throughout: ids, positions, the mask. `held`: logits that the loop holds on to, from one loss
    to the next.
    """

    plan: Plan
    work: Batch
    kinds: tuple[tuple[LayerCost, int], ...]
    head: HeadCost
    boundary: Bytes
    selected: Bytes
    shared: Bytes
    held: Bytes

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return sum(count for _, count in self.kinds)


def passes(plan: Plan, stack: Profile, precision: Precision, work: Batch) -> Passes:
    """The tapes of this plan on this stack."""
    kinds = layer_kinds(plan, stack, precision, work)
    hidden, stream = plan.facts.hidden, precision.stream
    costs = tuple((layer_cost(layer, hidden, stream), count) for layer, count in kinds)
    heads = kinds[0][0].heads
    fused = heads.kernel in ("flash", "efficient")
    attention = plan.facts.heads * plan.facts.head_dim * precision.attention + SELECTED * plan.facts.heads
    return Passes(
        plan=plan,
        work=work,
        kinds=costs,
        head=head_cost(_head(plan, stack, precision, work)),
        boundary=Bytes(token=hidden * stream),
        selected=Bytes(token=attention if fused else 0),
        held=_held(plan, stack, precision, costs),
        shared=Bytes(whole=mask(plan, precision, work), token=INTEGERS + 2 * plan.facts.head_dim * stream / work.rows),
    )


def training(run: Passes) -> Iterator[tuple[Bytes, str]]:
    """What a training pass adds at each moment that can be the largest, with where it is: `forward` or `loss`, where
    only gradients of earlier passes exist; `last`, the last layer walked back; `first`, where all others have come."""
    kept = run.plan.training.gradient_checkpointing is False
    for moments, where in _kept(run) if kept else _recomputed(run):
        around = run.shared if where == "loss" else run.shared.plus(run.held)
        for moment in moments:
            yield moment.plus(around), where


def evaluating(run: Passes) -> Iterator[Bytes]:
    """What a pass without gradients adds; it makes copies of weights under autocast, and holds them, as any does."""
    casts = Bytes(whole=sum(cost.casts * count for cost, count in run.kinds))
    around = run.shared.plus(casts).plus(run.held)
    for cost, _ in run.kinds:
        yield from (moment.plus(run.boundary).plus(around) for moment in cost.unkept)
    yield from (moment.plus(run.shared).plus(casts) for moment in run.head.unkept)


def _kept(run: Passes) -> Iterator[tuple[Iterable[Bytes], str]]:
    """All that layers keep is there until they are walked back."""
    total = Bytes().plus(run.kinds[0][0].unneeded, -1)
    for cost, count in run.kinds:
        total = total.plus(cost.kept, count)
    for cost, _ in run.kinds:
        others = total.plus(cost.kept, -1)
        yield [moment.plus(others).plus(run.boundary) for moment in cost.forward], "forward"
        yield [moment.plus(others) for moment in cost.backward], "last"
        yield cost.backward, "first"
    yield [moment.plus(total) for moment in run.head.forward], "loss"
    yield [moment.plus(total) for moment in run.head.backward], "loss"


def _recomputed(run: Passes) -> Iterator[tuple[Iterable[Bytes], str]]:
    """Layers keep their input; copies that autocast made of weights stay until the forward pass has ended."""
    mode = run.plan.training.gradient_checkpointing
    each = run.boundary.plus(run.selected) if mode == "selective" else run.boundary
    held = min(run.layers, 2) if mode == "offload" else run.layers
    inputs = Bytes().plus(each, held)
    others = Bytes().plus(each, held - 1)
    for cost, count in run.kinds:
        inputs, others = inputs.plus(cost.stuck, count), others.plus(cost.stuck, count)
    casts = Bytes(whole=sum(cost.casts * count for cost, count in run.kinds))
    for cost, _ in run.kinds:
        yield [moment.plus(others).plus(casts) for moment in cost.unkept], "forward"
        yield [moment.plus(others) for moment in cost.recomputed], "last"
        yield cost.recomputed, "first"
    yield [moment.plus(inputs).plus(casts) for moment in run.head.forward], "loss"
    yield [moment.plus(inputs) for moment in run.head.backward], "loss"


def _held(plan: Plan, stack: Profile, precision: Precision, costs: tuple[tuple[LayerCost, int], ...]) -> Bytes:
    """What a loop that keeps what the model gave out holds on to: logits, and the graph with what sticks to it."""
    held = Bytes(logit=held_logits(plan, precision, stack))
    for cost, count in costs if stack.holds_outputs else ():
        held = held.plus(cost.stuck, count)
    return held


def _head(plan: Plan, stack: Profile, precision: Precision, work: Batch) -> Head:
    facts = plan.facts
    whole = isinstance(plan.method, FullPlan)
    carried = low_rank_of(plan.lora) if plan.lora and "lm_head" in outer_adapters(plan) else None
    saved = isinstance(plan.method, LoraPlan) and "lm_head" in plan.method.modules_to_save
    how = replace(projection(plan, stack, precision), quantization=None, trained=whole or saved)
    if facts.tied:
        how = replace(how, fresh=True)  # it waits for the embedding's, which it is added to
    if saved:
        how = replace(how, precision=replace(precision, trained=precision.rest))
    return Head(
        hidden=facts.hidden,
        stream=precision.stream,
        matrix=Matrix(facts.hidden, facts.vocab, carried, LOGIT),
        loss=computed_loss(plan, stack),
        tile=tile(plan, stack, work) / max(work.tokens, 1),
        slice=2 * min(SLICE, facts.vocab) * facts.hidden if precision.autocast and precision.rest == 4 else 0,
        softcap=facts.softcap,
        wide_norms=facts.family.startswith("gemma"),
        base_trained=whole,
        indexed=stack.stack == "native",
        widened=precision.autocast,
        held=stack.holds_outputs,
        projection=how,
    )
