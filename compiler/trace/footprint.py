"""A trace that was read → a footprint. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from math import hypot
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory import weigh
from compiler.memory.allocator import SMALL, VARIED, context
from compiler.memory.loss import computed_loss
from compiler.memory.phases import lay_out
from compiler.memory.stacks import Profile, profile
from compiler.memory.trainable import rowed
from compiler.memory.verdict import assumed_layout, verdict
from compiler.trace.interval import CONTEXT, GAP, SPREAD, doubts, leaves_holes
from compiler.trace.traced import Traced, total
from schemas.facts import GIB
from schemas.footprint import Confidence, Footprint, Parts, Phases, Stack
from schemas.plan import Plan

TRACED: Final = ("step", "optimizer", "eval")


class _Ground(Struct, frozen=True):
    """Bytes that no trace has. `context`: what the driver counts beside torch's. `buffers`: of communication."""

    context: int
    buffers: int


def footprint(plan: Plan, stack: Stack, traced: Traced, *, varied: bool | None = None) -> Footprint:
    """What the trace found, on the plan's card. Loading, main memory and communication are the formula's. `varied`:
    whether rows differ in length; None: all but packed ones do."""
    differing = not plan.data.packing if varied is None else varied
    facts, formula = profile(stack), weigh(plan, stack)
    layout = lay_out(plan, facts).layout
    ground = _Ground(context(plan.gpu) + layout.communication, layout.buffers)
    by_phase = _by_phase(traced, formula, ground.buffers)
    peak = max(by_phase, key=lambda phase: total(by_phase[phase]))
    allocated = total(by_phase[peak])
    replayed = traced.expandable if facts.expandable_segments else traced.plain
    reserved = max(replayed.reserved + ground.buffers, allocated)
    confidence, against = doubts(plan, facts, varied=differing)
    weights = by_phase[peak].weights
    holes = VARIED * (allocated - weights) if leaves_holes(plan, facts, varied=differing) else 0
    low, high = _interval(confidence, ground.context, allocated, reserved, int(holes))
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


def _interval(confidence: Confidence, context: int, allocated: int, reserved: int, holes: int) -> tuple[int, int]:
    """Low and high for what the driver reports. Live tensors, unused memory and the context are off independently."""
    shrink, grow = SPREAD[confidence]
    unused, device = reserved - allocated, reserved + context
    below = hypot((1 - shrink) * allocated, (1 - GAP[0]) * unused, (1 - CONTEXT[0]) * context)
    above = hypot((grow - 1) * allocated, (GAP[1] - 1) * unused + SMALL, (CONTEXT[1] - 1) * context)
    return max(device - int(below), int(shrink * allocated)), device + int(above) + holes


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
    if plan.model.tokens.add and not rowed(plan):
        yield "rows for new tokens were not traced"
