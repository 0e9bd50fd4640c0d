"""The moments of a run at which memory can peak, each with what is alive in it."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory.allocator import cublas
from compiler.memory.batch import Batch, batch, batches
from compiler.memory.loss import held_graph, held_logits
from compiler.memory.optimizer import PAGED, state, workspace
from compiler.memory.passes import Passes, passes
from compiler.memory.passes.moments import Where
from compiler.memory.passes.tape import Bytes
from compiler.memory.precision import Precision, precision
from compiler.memory.sharding import Sharding, sharding
from compiler.memory.stacks import Profile
from compiler.memory.trainable import Group, copied_width, rowed, trainable
from compiler.memory.weights import Weights, weights
from schemas.facts import GIB
from schemas.method_plan import AdapterPlan, FullPlan
from schemas.plan import Plan

PROCESS_RAM = 3 * GIB
"""Bytes of main memory that Python, torch and a data set of usual size take, a process."""


class Moment(Struct, frozen=True):
    """Bytes alive at one moment, by part."""

    weights: int = 0
    adapters: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    logits: int = 0
    workspace: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return (
            self.weights
            + self.adapters
            + self.gradients
            + self.optimizer
            + self.activations
            + self.logits
            + self.workspace
        )


class Run(Struct, frozen=True):
    """Everything about a run that its moments are made of. Sizes in bytes, of one card. `optimizer`: of its `state`
    what lies on the card."""

    plan: Plan
    stack: Profile
    precision: Precision
    base: Weights
    layout: Sharding
    groups: tuple[Group, ...]
    work: Batch
    passes: tuple[Passes, ...]
    weights: int
    adapters: int
    gradients: int
    optimizer: int
    state: int
    fixed: int


def lay_out(plan: Plan, stack: Profile) -> Run:
    """What one card holds throughout, after sharding and offloading."""
    widths = precision(plan, stack)
    groups = trainable(plan, widths)
    gradients = sum(group.size for group in groups)
    base = weights(plan, widths)
    layout = sharding(plan, gradients)
    work = batch(plan, plan.training.micro_batch_size, stack)
    state_size = int(_state(plan, groups, layout, stack))
    gathered = layout.units * base.unit + (_embeddings(plan) if layout.units else 0)
    return Run(
        plan=plan,
        stack=stack,
        precision=widths,
        base=base,
        layout=layout,
        groups=groups,
        work=work,
        passes=_passes(plan, stack, widths, plan.training.micro_batch_size),
        weights=_reference(plan, base) + (0 if layout.weights_offloaded else base.total // layout.weights),
        adapters=sum(group.size for group in groups if group.added) // layout.weights,
        gradients=0 if layout.state_offloaded else gradients // layout.gradients,
        optimizer=0 if _state_away(plan, layout) else state_size,
        state=state_size,
        fixed=gathered + layout.buffers + cublas(plan.gpu),
    )


def load(run: Run) -> Moment:
    """Weights as they arrive: what is upcast or quantised exists twice for a moment, one tensor at a time."""
    facts, plan = run.plan.facts, run.plan
    if plan.quantization is None:
        return Moment(weights=run.weights)
    if _whole_at_first(run):
        return Moment(weights=run.weights + run.base.total - run.base.total // run.layout.weights)
    rest = facts.params - sum(item.weights for item in facts.linears if not item.fused)
    wider = max(4 - run.precision.rest, 0) if run.stack.upcast == "load" else 0
    narrow = run.stack.upcast != "never" and run.precision.base < 4
    widened = facts.embedding_params * run.precision.base if narrow else 0
    arriving = max(run.base.largest * run.precision.base, widened)
    return Moment(weights=run.weights + rest * wider // run.layout.weights, workspace=arriving)


def _whole_at_first(run: Run) -> bool:
    """Quantised weights are made on each card and parted there afterwards (backends/native/spread.py)."""
    return run.stack.stack == "native" and run.plan.hardware.strategy == "fsdp"


def _passes(plan: Plan, stack: Profile, precision: Precision, rows: int) -> tuple[Passes, ...]:
    return tuple(passes(plan, stack, precision, work) for work in batches(plan, rows, stack, precision))


def step(run: Run) -> tuple[Moment, ...]:
    """The largest moments of forward and backward, with logits and without, one of each place, and the last gradient's:
    the embedding's."""
    found: dict[tuple[Where, bool], tuple[float, Passes, Bytes]] = {}
    for work in run.passes:
        for moment, where in work.moments.training:
            size = work.total(moment) - _among_others(run, moment, where)
            for logits in (True, False):
                held = size if logits else size - work.logits(moment)
                if (where, logits) not in found or held > found[where, logits][0]:
                    found[where, logits] = held, work, moment
    passing = (_passing(run, work, moment, where) for (where, _), (_, work, moment) in found.items())
    return (*passing, _last_gradient(run))


def _among_others(run: Run, moment: Bytes, where: Where) -> float:
    """Near the first layer the gradients of all layers are there: its own are some of them, and none on top."""
    return moment.gradient if where == "first" and run.plan.accumulation == 1 else 0


def _passing(run: Run, work: Passes, moment: Bytes, where: Where) -> Moment:
    """What is always there, and what a pass adds. Gradients of earlier passes are there throughout; else those of the
    layers walked back already, which near the first layer are all but its own and the embedding's."""
    waiting = _head_gradient(run) if where in ("last", "first") else 0
    if run.plan.accumulation > 1:
        gradients = run.gradients + (waiting if run.plan.facts.tied else 0)
    elif where == "first":
        gradients = max(run.gradients - int(moment.gradient) - _embedding_gradient(run), 0)
    else:
        gradients = waiting
    return replace(_adding(run, work, moment), gradients=gradients + int(moment.gradient))


def _adding(run: Run, work: Passes, moment: Bytes) -> Moment:
    """What is always there, and what a pass adds, but for gradients."""
    return _moment(run, activations=work.activations(moment), logits=work.logits(moment), workspace=int(moment.whole))


def optimizer(run: Run) -> Moment:
    """The optimizer's step: all gradients, its state, its temporary, and the logits that a plain loop still holds."""
    extra = 0 if run.layout.state_offloaded else workspace(run.groups, run.plan.training.optimizer, run.stack)
    held = held_logits(run.plan, run.precision, run.stack) * run.work.tokens
    graph = held_graph(run.plan, run.precision, run.stack) * run.work.tokens
    parts = 1 if run.plan.training.optimizer == "muon" else run.layout.optimizer  # it needs whole matrices
    return _moment(run, gradients=run.gradients, activations=graph, logits=held, workspace=extra // parts)


def evaluate(run: Run) -> Moment:
    """A forward pass without gradients beside the optimizer's state; nothing where the run never evaluates."""
    plan = run.plan
    if plan.evaluation.every is None or plan.data.validation is None:
        return Moment()
    found = ((work.total(moment), work, moment) for work in _evaluating(run) for moment in work.moments.evaluating)
    _, work, moment = max(found, key=lambda item: item[0])
    return _adding(run, work, moment)


def _evaluating(run: Run) -> tuple[Passes, ...]:
    if run.plan.evaluation.batch_size == run.plan.training.micro_batch_size:
        return run.passes
    return _passes(run.plan, run.stack, run.precision, run.plan.evaluation.batch_size)


def host_ram(run: Run) -> int:
    """Bytes of main memory on one node: processes, the checkpoint's pages, what is offloaded, and a merge."""
    plan = run.plan
    files = 2 * plan.facts.params
    total = PROCESS_RAM * plan.hardware.count + files
    share = plan.hardware.count / plan.devices
    if run.layout.weights_offloaded:
        total += int(run.base.total * share)
    if _state_away(plan, run.layout):
        kept = _state(plan, run.groups, run.layout, run.stack) * plan.devices
        total += int((kept + sum(group.size for group in run.groups)) * share)
    if run.stack.stack == "native" and plan.hardware.strategy == "fsdp" and plan.quantization is None:
        total += run.base.total  # read by one process of a machine, and parted from there
    if plan.training.gradient_checkpointing == "offload":
        total += int(plan.facts.layers * run.passes[0].moments.boundary.token * run.work.tokens) * plan.hardware.count
    return total + (files if plan.output.merge else 0)


def _moment(run: Run, *, gradients: int = 0, activations: int = 0, logits: int = 0, workspace: int = 0) -> Moment:
    """What is always there, and what this moment adds."""
    return Moment(run.weights, run.adapters, gradients, run.optimizer, activations, logits, run.fixed + workspace)


def _last_gradient(run: Run) -> Moment:
    """The last gradient to come, the embedding's, exists beside the sum it is added to: of earlier passes, or of the
    head that it is tied to."""
    tied = run.plan.facts.tied and isinstance(run.plan.method, FullPlan)
    beside = run.plan.accumulation > 1 or tied
    late = max(group.largest * group.width for group in run.groups) if beside else 0
    late *= 2 if tied and run.plan.accumulation > 1 else 1
    if "embed_tokens" in rowed(run.plan):  # of the copy in which rows of new tokens stand
        late += run.plan.facts.embedding_params * run.precision.rest
    incoming = int(run.work.tokens * run.passes[0].moments.boundary.token)
    return _moment(run, gradients=run.gradients, activations=incoming, workspace=late)


def _head_gradient(run: Run) -> int:
    """Bytes of the head's gradient, the first to come."""
    plan = run.plan
    if isinstance(plan.method, FullPlan) and not (plan.method.freeze or plan.method.train_only):
        return plan.facts.embedding_params * run.precision.trained
    if plan.lora and "lm_head" in plan.lora.modules_to_save:
        return plan.facts.embedding_params * copied_width(plan, run.precision)
    return 0


def _embedding_gradient(run: Run) -> int:
    """Bytes of the gradient that only comes after the first layer's; a tied head's is there from the beginning."""
    facts, method = run.plan.facts, run.plan.method
    if isinstance(method, FullPlan) and not facts.tied and not (method.freeze or method.train_only):
        return facts.embedding_params * run.precision.trained
    return 0


def _embeddings(plan: Plan) -> int:
    return (plan.facts.embedding_params + plan.facts.head_params) * 2


def _reference(plan: Plan, base: Weights) -> int:
    """DPO and KTO compare with the model as it was: a second copy where the first one is trained itself, or has layers
    inside that cannot be switched off."""
    second = plan.training.objective in ("dpo", "kto") and isinstance(plan.method, FullPlan | AdapterPlan)
    return base.total if second else 0


def _state(plan: Plan, groups: tuple[Group, ...], layout: Sharding, stack: Profile) -> float:
    """Bytes of optimizer state on one card, DeepSpeed's float32 copies of trained weights included."""
    kept_state = sum(state(group, plan.training.optimizer, stack) for group in groups)
    master = sum(layout.master * group.elements for group in groups)
    wider = sum(2 * (4 - group.width) * group.elements for group in groups) if layout.master else 0
    return (kept_state + master + wider) / layout.optimizer


def _state_away(plan: Plan, layout: Sharding) -> bool:
    """Whether the optimizer's state may lie in CPU memory."""
    return layout.state_offloaded or plan.training.optimizer in PAGED
