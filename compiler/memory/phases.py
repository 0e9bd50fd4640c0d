"""The moments of a run at which memory can peak, each with what is alive in it."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.activations import Batch, Kept, batch, kept, mask
from compiler.memory.allocator import cublas
from compiler.memory.loss import forward_logits, head_workspace, held_logits, training_logits
from compiler.memory.optimizer import PAGED, state, workspace
from compiler.memory.precision import Precision, precision
from compiler.memory.sharding import Sharding, sharding
from compiler.memory.stacks import Profile
from compiler.memory.trainable import Group, adapted, trainable
from compiler.memory.weights import Weights, weights
from schemas.facts import GIB
from schemas.method_plan import FullPlan, LoraPlan
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
    """Everything about a run that its moments are made of. Sizes in bytes, of one card."""

    plan: Plan
    stack: Profile
    precision: Precision
    base: Weights
    layout: Sharding
    groups: tuple[Group, ...]
    work: Batch
    kept: Kept
    weights: int
    adapters: int
    gradients: int
    optimizer: int
    fixed: int


def lay_out(plan: Plan, stack: Profile) -> Run:
    """What one card holds throughout, after sharding and offloading."""
    widths = precision(plan, stack)
    groups = trainable(plan, widths)
    gradients = sum(group.size for group in groups)
    base = weights(plan, widths)
    layout = sharding(plan, gradients)
    work = batch(plan, plan.training.micro_batch_size, stack)
    gathered = layout.units * base.unit + (_embeddings(plan) if layout.units else 0)
    return Run(
        plan=plan,
        stack=stack,
        precision=widths,
        base=base,
        layout=layout,
        groups=groups,
        work=work,
        kept=kept(plan, widths, work),
        weights=_reference(plan, base) + (0 if layout.weights_offloaded else base.total // layout.weights),
        adapters=sum(group.size for group in groups if group.added) // layout.weights,
        gradients=0 if layout.state_offloaded else gradients // layout.gradients,
        optimizer=0 if _state_away(plan, layout) else int(_state(plan, groups, layout)),
        fixed=gathered + layout.buffers + cublas(plan.gpu),
    )


def load(run: Run) -> Moment:
    """Weights as they arrive: what is upcast or quantised exists twice for a moment, one tensor at a time."""
    facts, plan = run.plan.facts, run.plan
    if plan.quantization is None:
        return Moment(weights=run.weights)
    rest = (facts.params - sum(item.weights for item in facts.linears if not item.fused)) * 2
    upcast = rest if run.stack.upcast == "load" else 0
    arriving = max(run.base.largest * 2, facts.embedding_params * 2 if run.stack.upcast != "never" else 0)
    return Moment(weights=run.weights + upcast // run.layout.weights, workspace=arriving)


def step(run: Run) -> tuple[Moment, ...]:
    """The moments of forward and backward that can be the largest: at the loss, before and in the backward pass, in
    the last layer, and in the first one, where all gradients have come."""
    whole = run.plan.training.gradient_checkpointing is False
    activations, passing = _activations(run), _dora(run) + _dequantised(run)
    walked = int(run.work.tokens * run.kept.passing)
    layer = walked + int(run.work.tokens * run.kept.layer)
    last = walked if whole else layer
    earlier = run.gradients if run.plan.accumulation > 1 else 0
    logits = training_logits(run.plan, run.precision, run.stack, run.work)
    head = head_workspace(run.plan, run.precision, run.stack)
    cast = _cast_weights(run)
    before = forward_logits(run.plan, run.precision, run.stack, run.work)
    cast_now = cast if whole else cast // run.plan.facts.layers
    return (
        _moment(run, gradients=earlier, activations=activations, logits=before, workspace=head + cast),
        _moment(run, gradients=earlier, activations=activations, logits=logits, workspace=head + cast_now),
        _moment(run, gradients=earlier, activations=activations + last, workspace=cast_now + passing),
        _moment(run, gradients=run.gradients, activations=layer, workspace=_late_gradient(run) + passing),
    )


def optimizer(run: Run) -> Moment:
    """The optimizer's step: all gradients, its state, its temporary, and the logits that a plain loop still holds."""
    extra = 0 if run.layout.state_offloaded else workspace(run.groups, run.plan.training.optimizer, run.stack)
    held = held_logits(run.plan, run.precision, run.stack, run.work)
    return _moment(run, gradients=run.gradients, logits=held, workspace=extra // run.layout.optimizer)


def evaluate(run: Run) -> Moment:
    """A forward pass without gradients beside the optimizer's state; nothing where the run never evaluates."""
    plan = run.plan
    if plan.evaluation.every is None or plan.data.validation is None:
        return Moment()
    work = batch(plan, plan.evaluation.batch_size, run.stack)
    passing = int(work.tokens * (run.kept.passing + 2 * run.kept.boundary)) + mask(plan, run.precision, work)
    logits = forward_logits(plan, run.precision, run.stack, work)
    return _moment(run, activations=passing, logits=logits, workspace=_dequantised(run))


def host_ram(run: Run) -> int:
    """Bytes of main memory on one node: processes, the checkpoint's pages, what is offloaded, and a merge."""
    plan = run.plan
    files = 2 * plan.facts.params
    total = PROCESS_RAM * plan.hardware.count + files
    share = plan.hardware.count / plan.devices
    if run.layout.weights_offloaded:
        total += int(run.base.total * share)
    if _state_away(plan, run.layout):
        total += int((_state(plan, run.groups, run.layout) * plan.devices + sum(g.size for g in run.groups)) * share)
    if plan.training.gradient_checkpointing == "offload":
        total += int(plan.facts.layers * run.kept.boundary * run.work.tokens) * plan.hardware.count
    return total + (files if plan.output.merge else 0)


def _moment(run: Run, *, gradients: int = 0, activations: int = 0, logits: int = 0, workspace: int = 0) -> Moment:
    """What is always there, and what this moment adds."""
    return Moment(run.weights, run.adapters, gradients, run.optimizer, activations, logits, run.fixed + workspace)


def _activations(run: Run) -> int:
    """What the whole forward pass keeps."""
    mode, layers, tokens = run.plan.training.gradient_checkpointing, run.plan.facts.layers, run.work.tokens
    if mode is False:
        per_token = run.kept.model
    elif mode == "offload":
        per_token = 2 * run.kept.boundary
    else:
        per_token = layers * run.kept.boundary + (run.kept.products if mode == "selective" else 0)
    return int(tokens * (min(per_token, run.kept.model) + run.kept.outside)) + mask(run.plan, run.precision, run.work)


def _cast_weights(run: Run) -> int:
    """Autocast makes a 16-bit copy of each trained float32 weight, and keeps it until the forward pass has ended; of
    layers that are not recomputed, until their gradients have come."""
    if not run.precision.autocast or run.precision.trained != 4:
        return 0
    whole = isinstance(run.plan.method, FullPlan)
    trained = sum(item.weights for item in run.plan.facts.linears) if whole else run.adapters // 4
    return trained * run.precision.base


def _dora(run: Run) -> int:
    """DoRA writes out its update of the largest module, by sending a unit matrix through it, and adds it to the weight,
    each time it takes the norm."""
    method = run.plan.method
    if not isinstance(method, LoraPlan) or method.kind not in ("dora", "qdora"):
        return 0
    width = run.precision.trained
    eye = width + (run.precision.base if run.precision.autocast and width == 4 else 0)
    sizes = (
        max(eye * linear.d_in**2 + width * linear.d_in * linear.d_out, 4 * width * linear.d_in * linear.d_out)
        for linear, _ in adapted(method, run.plan.facts)
    )
    return max(sizes, default=0)


def _late_gradient(run: Run) -> int:
    """The last gradient to come, the embedding's, exists beside the sum it is added to: of earlier passes, or of the
    head that it is tied to."""
    tied = run.plan.facts.tied and isinstance(run.plan.method, FullPlan)
    if run.plan.accumulation == 1 and not tied:
        return 0
    return max(group.largest * group.width for group in run.groups)


def _dequantised(run: Run) -> int:
    """Bytes of the largest quantised weight, expanded for its product."""
    return 2 * run.base.largest if run.plan.quantization else 0


def _embeddings(plan: Plan) -> int:
    return (plan.facts.embedding_params + plan.facts.head_params) * 2


def _reference(plan: Plan, base: Weights) -> int:
    """DPO and KTO compare with the model as it was: a second copy where the first one is trained itself."""
    second = plan.training.objective in ("dpo", "kto") and isinstance(plan.method, FullPlan)
    return base.total if second else 0


def _state(plan: Plan, groups: tuple[Group, ...], layout: Sharding) -> float:
    """Bytes of optimizer state on one card, DeepSpeed's float32 copies of trained weights included."""
    kept_state = sum(state(group, plan.training.optimizer) for group in groups)
    master = sum(layout.master * group.elements for group in groups)
    wider = sum(2 * (4 - group.width) * group.elements for group in groups) if layout.master else 0
    return (kept_state + master + wider) / layout.optimizer


def _state_away(plan: Plan, layout: Sharding) -> bool:
    """Whether the optimizer's state may lie in CPU memory."""
    return layout.state_offloaded or plan.training.optimizer in PAGED
