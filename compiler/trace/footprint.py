"""A trace that was read → a footprint. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory import weigh
from compiler.memory.allocator import SMALL, context
from compiler.memory.loss import computed_loss
from compiler.memory.phases import lay_out
from compiler.memory.stacks import Profile, profile
from compiler.memory.verdict import assumed_layout, verdict
from compiler.trace.interval import CONTEXT, GAP, SPREAD, VARIED, doubts, varied
from compiler.trace.traced import Traced, total
from schemas.facts import GIB
from schemas.footprint import Footprint, Parts, Phases, Stack
from schemas.plan import Plan

TRACED: Final = ("step", "optimizer", "eval")


class _Ground(Struct, frozen=True):
    """Bytes that no trace has. `context`: what the driver counts beside torch's. `buffers`: of communication."""

    context: int
    buffers: int


def footprint(plan: Plan, stack: Stack, traced: Traced) -> Footprint:
    """What the trace found, on the plan's card. Loading, main memory and communication are the formula's."""
    facts, formula = profile(stack), weigh(plan, stack)
    layout = lay_out(plan, facts).layout
    ground = _Ground(context(plan.gpu) + layout.communication, layout.buffers)
    by_phase = _by_phase(traced, formula, ground.buffers)
    peak = max(by_phase, key=lambda phase: total(by_phase[phase]))
    allocated = total(by_phase[peak])
    replayed = traced.expandable if facts.expandable_segments else traced.plain
    reserved = max(replayed.reserved + ground.buffers, allocated)
    low, high = _interval(plan, facts, ground, allocated=allocated, reserved=reserved)
    confidence, against = doubts(plan, facts)
    return replace(
        formula,
        verdict=verdict(formula.capacity, allocated + ground.context, high),
        allocated=allocated,
        reserved=reserved,
        device=reserved + ground.context,
        low=low,
        high=high,
        method="trace",
        confidence=confidence,
        phases=Phases(**{name: total(by_phase[name]) if name in by_phase else 0 for name in Phases.__struct_fields__}),
        parts=replace(by_phase[peak], context=ground.context, fragmentation=reserved - allocated),
        because=(*_said(plan, facts, traced), *against),
        live=traced.live,
        by_phase=by_phase,
    )


def _by_phase(traced: Traced, formula: Footprint, buffers: int) -> dict[str, Parts]:
    """Loading is traced only from where the weights are in their place: the formula knows of what comes before."""
    found = {
        name: replace(parts, workspace=parts.workspace + buffers)
        for name, parts in traced.phases.items()
        if name in TRACED
    }
    before, there = formula.by_phase["load"], traced.phases["load"]
    return {"load": before if total(before) > total(there) else there, **found}


def _interval(plan: Plan, facts: Profile, ground: _Ground, *, allocated: int, reserved: int) -> tuple[int, int]:
    """Low and high for what the driver reports."""
    shrink, grow = SPREAD[doubts(plan, facts)[0]]
    logits = 4 * plan.facts.vocab * plan.training.micro_batch_size * plan.data.max_length
    more = VARIED * logits if varied(plan, facts) else 0
    low = int(allocated * shrink) + int((reserved - allocated) * GAP[0]) + int(ground.context * CONTEXT[0])
    high = int(allocated * grow) + int((reserved - allocated) * GAP[1]) + int(ground.context * CONTEXT[1])
    return low, high + more + SMALL


def _said(plan: Plan, facts: Profile, traced: Traced) -> Iterator[str]:
    """What was traced, and where another path than this machine's was taken."""
    versions = ", ".join(f"{name} {version}" for name, version in traced.versions.items())
    yield f"two steps of {facts.title} were traced on tensors without content: {versions}"
    yield from _emulated(plan, facts)
    yield (
        f"the caching allocator was replayed: {traced.plain.reserved / GIB:.2f} GiB reserved, "
        f"{traced.expandable.reserved / GIB:.2f} GiB with expandable segments, which "
        f"{'this stack sets' if facts.expandable_segments else 'this stack does not set'}: "
        f"{facts.sources['expandable_segments']}"
    )
    yield "loading, the CUDA context and main memory are by the formula"
    if plan.decisions:
        yield "what the recipe leaves to the compiler was solved by the formula"


def _emulated(plan: Plan, facts: Profile) -> Iterator[str]:
    """Paths of CUDA that a machine without a card would not take."""
    training, attention = plan.training, plan.model.attention
    if attention != "eager":
        kernel = (
            "CUDA's kernel for these inputs and this mask" if attention == "sdpa" else "torch's kernel of that kind"
        )
        yield f"attention is {attention}: {kernel} was taken"
    if computed_loss(plan, facts) == "chunked":
        yield "the loss was taken as TRL's Triton kernels compute it: one tile of logits, in place"
    if plan.quantization is not None:
        yield "quantised layers are bitsandbytes' own around empty weights; products expand one weight at a time"
    if training.gradient_checkpointing == "offload":
        yield "offloaded activations leave and come back as TRL's do"
    if training.optimizer.startswith("paged"):
        yield "paged optimizer state lies in managed memory, which is not counted"
    if plan.lora and assumed_layout(plan):
        yield f"adapters: names of {plan.facts.family}'s modules are assumed; where it has others, on all linear layers"
    if plan.model.tokens.add:
        yield "rows for new tokens were not traced"
