"""What goes over links: between cards, and between a card and main memory."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.phases import Run
from compiler.throughput.efficiency import facts, nearest
from schemas.facts import Gpu
from schemas.plan import Plan
from schemas.recipe import Strategy

GIGA = 1e9
GATHERED: dict[Strategy, int] = {"fsdp": 2, "zero3": 2}
"""How often all weights are gathered in a pass: on the way to the loss, and from it (ZeRO, arXiv 1910.02054)."""


class Sent(Struct, frozen=True):
    """Seconds that links are busy: in each pass, and once in an optimizer step."""

    each: float
    once: float


def sent(run: Run, gpu: Gpu) -> Sent:
    """What this layout sends. Gradients are summed once a step where copies are whole, in each pass where they are
    parted; where only they and the state are, trained weights are gathered once a step."""
    plan, size = run.plan, sum(group.size for group in run.groups)
    share = (plan.devices - 1) / plan.devices
    speed = _between(plan, gpu)
    gathered = GATHERED.get(plan.hardware.strategy, 0) * run.base.total * share / speed
    parted = plan.hardware.strategy in ("fsdp", "zero2", "zero3")
    summed = (1 if parted else 2) * size * share / speed
    each = gathered + (summed if parted else 0) + _inputs(run, gpu) + _offloaded(run, size, gpu)
    return Sent(each, summed if plan.hardware.strategy not in GATHERED else 0)


def to_host(gpu: Gpu) -> float:
    """Bytes a second between a card and main memory."""
    found = facts()
    return nearest(found["pcie"]["value"], gpu) * GIGA * found["host_reached"]["value"]


def _between(plan: Plan, gpu: Gpu) -> float:
    found = facts()
    own = found["between_cards"]["value"].get(gpu.name) or nearest(found["pcie"]["value"], gpu)
    rate = min(own, found["between_nodes"]["value"]) if plan.hardware.nodes > 1 else own
    return rate * GIGA * found["links_reached"]["value"]


def _offloaded(run: Run, size: int, gpu: Gpu) -> float:
    """What lies in main memory between passes: a card's share of the weights comes on the way to the loss and from it,
    and its share of the gradients goes."""
    weights = 2 * run.base.total / run.layout.weights if run.layout.weights_offloaded else 0
    gradients = size / run.layout.gradients if run.layout.state_offloaded else 0
    return (weights + gradients) / to_host(gpu)


def _inputs(run: Run, gpu: Gpu) -> float:
    """Inputs of layers that go to main memory and back."""
    if run.plan.training.gradient_checkpointing != "offload":
        return 0
    size = run.plan.facts.layers * run.passes[0].moments.boundary.token * run.work.tokens
    return 2 * size / to_host(gpu)
