"""A plan and a stack → a footprint: the closed form. No torch, well under a millisecond."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from compiler.memory import phases
from compiler.memory.allocator import Gap, Live, context, gap
from compiler.memory.loss import computed_loss
from compiler.memory.passes.adapters import casts
from compiler.memory.passes.layers import projection
from compiler.memory.phases import Moment, Run, lay_out
from compiler.memory.spread import SPREAD, Spread
from compiler.memory.stacks import Profile, profile
from compiler.memory.verdict import assumed_layout, capacity, doubts, verdict
from schemas.footprint import Footprint, Parts, Phases, Stack
from schemas.plan import Plan

NO_GAP: Final = Gap(0, 0, 0)


def weigh(plan: Plan, stack: Stack, *, varied: bool | None = None) -> Footprint:
    """How much memory the fullest card needs when this stack runs this plan, and whether it fits. `varied`: whether
    rows differ in length; None: all but packed ones do."""
    return weigh_profile(plan, profile(stack), varied=varied)


def weigh_profile(plan: Plan, facts: Profile, *, varied: bool | None = None) -> Footprint:
    """The same for a stack of these facts: to ask what one of them does."""
    return weigh_run(lay_out(plan, facts), varied=varied)


def weigh_run(run: Run, *, varied: bool | None = None) -> Footprint:
    """The same of what is laid out already."""
    plan, facts = run.plan, run.stack
    room = capacity(plan, facts)
    ground = context(plan.gpu) + run.layout.communication
    moments = _moments(run, room, ground)
    peak = max(moments.values(), key=lambda moment: moment.total)
    differing = not plan.data.packing if varied is None else varied
    live = Live(peak.total, peak.weights, _logits_tensor(run))
    loose = gap(plan, facts, live, computed_loss(plan, facts), varied=differing)
    confidence, against = doubts(plan, facts, varied=differing)
    spread = Spread(peak, loose, ground, SPREAD[confidence], doubled=peak.activations if assumed_layout(plan) else 0)
    return Footprint(
        stack=facts.stack,
        verdict=verdict(room, peak.total + ground, spread.high),
        capacity=room,
        allocated=peak.total,
        reserved=peak.total + loose.expected,
        device=spread.device,
        low=spread.low,
        high=spread.high,
        method="formula",
        confidence=confidence,
        phases=Phases(**{name: moment.total for name, moment in moments.items()}),
        parts=_parts(peak, loose, ground),
        host_ram=phases.host_ram(run),
        because=(*_assumptions(run, facts), *against),
        by_phase={name: _parts(moment, NO_GAP, 0) for name, moment in moments.items() if moment.total},
    )


def _moments(run: Run, room: int | None, ground: int) -> dict[str, Moment]:
    """Each phase's largest moment, by the phase's name."""
    found = {
        "load": (phases.load(run),),
        "step": phases.step(run),
        "optimizer": (phases.optimizer(run),),
        "eval": (phases.evaluate(run),),
        "merge": (Moment(),),  # every stack merges in main memory
    }
    if run.stack.tile.budget and room is not None and computed_loss(run.plan, run.stack) == "chunked":
        found = {name: tuple(_elastic(item, room - ground) for item in items) for name, items in found.items()}
    return {name: max(items, key=lambda moment: moment.total) for name, items in found.items()}


def _elastic(moment: Moment, room: int) -> Moment:
    """A stack that sizes its loss by the free memory takes at most half of what the rest leaves."""
    free = max(room - (moment.total - moment.logits), 0)
    return replace(moment, logits=min(moment.logits, free // 2))


def _logits_tensor(run: Run) -> int:
    return 4 * run.plan.facts.vocab * run.work.tokens


def _parts(peak: Moment, loose: Gap, ground: int) -> Parts:
    return Parts(
        weights=peak.weights,
        adapters=peak.adapters,
        gradients=peak.gradients,
        optimizer=peak.optimizer,
        activations=peak.activations,
        logits=peak.logits,
        workspace=peak.workspace,
        context=ground,
        fragmentation=loose.expected,
    )


def _assumptions(run: Run, stack: Profile) -> tuple[str, ...]:
    """What was taken for granted about the stack, each with its source."""
    plan, sources = run.plan, stack.sources
    loss = computed_loss(plan, stack)
    said = [f"{stack.title} ({stack.version})", f"the loss is {loss}: {sources['losses']}"]
    if plan.quantization:
        fate = "become float32" if stack.upcast == "always" else "stay in 16 bit"
        said.append(f"weights that are not quantised {fate}: {sources['upcast']}")
    how = projection(plan, stack, run.precision)
    if plan.lora and casts(how) and run.precision.rest != run.precision.trained:
        said.append(f"each adapted module keeps a copy of its input: {sources['casts_adapter_inputs']}")
    if stack.foreach and plan.training.optimizer in ("adamw", "sgd"):
        said.append(f"the optimizer's step has a temporary as large as all trained weights: {sources['foreach']}")
    return tuple(said)
