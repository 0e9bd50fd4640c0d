"""What forward and backward passes add to what is there: written once as a tape, valid for any number of tokens."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory.batch import Batch, mask
from compiler.memory.loss import computed_loss, held_graph, held_logits, tile
from compiler.memory.passes.head import Head
from compiler.memory.passes.layers import layer_kinds, low_rank_of, projection
from compiler.memory.passes.moments import Model, Moments, moments
from compiler.memory.passes.projection import Matrix
from compiler.memory.passes.tape import LOGIT, Bytes
from compiler.memory.precision import Precision
from compiler.memory.stacks import Profile
from compiler.memory.trainable import copied_width, outer_adapters, rowed
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan

__all__ = ["Passes", "passes"]

INTEGERS = 5 * 8
"""Bytes a token of ids, labels, labels moved by one, positions, and one more copy of them."""
SLICE = 32768
"""Rows of the head that TRL's loss takes at once."""


class Passes(Struct, frozen=True):
    """Passes over one micro batch, `work`. `tile`: bytes of the logits that a chunked loss holds at once. `shared`:
    bytes alive throughout: ids, positions, the mask."""

    work: Batch
    moments: Moments
    tile: int
    shared: int

    def activations(self, moment: Bytes) -> int:
        """Bytes of a moment that grow with tokens or with pairs of them."""
        return int(self.work.tokens * (moment.token + self.work.length * moment.pair)) + self.shared

    def logits(self, moment: Bytes) -> int:
        """Bytes of a moment that are logits."""
        return int(self.work.tokens * moment.logit + self.tile * moment.tile)

    def total(self, moment: Bytes) -> float:
        """All bytes of a moment."""
        return self.activations(moment) + self.logits(moment) + moment.whole + moment.gradient


def passes(plan: Plan, stack: Profile, precision: Precision, work: Batch) -> Passes:
    """The passes of this plan on this stack."""
    model = Model(
        layers=layer_kinds(plan, stack, precision, work),
        head=_head(plan, stack, precision),
        recomputed=plan.training.gradient_checkpointing,
        held=held_logits(plan, precision, stack),
        graph=held_graph(plan, precision, stack),
        trains_input=_trains_input(plan),
    )
    # Rotary positions are of one row's length.
    integers = work.tokens * INTEGERS + 2 * plan.facts.head_dim * precision.stream * work.length
    return Passes(work, moments(model), tile(plan, precision, stack, work), integers + mask(plan, precision, work))


def _trains_input(plan: Plan) -> bool:
    """Whether the embedding is trained, so that gradients flow to the input of the first layer."""
    method = plan.method
    if isinstance(method, LoraPlan):
        return "embed_tokens" in (*method.modules_to_save, *outer_adapters(plan), *rowed(plan))
    return isinstance(method, FullPlan) or method.kind in ("prompt_tuning", "p_tuning")


def _head(plan: Plan, stack: Profile, precision: Precision) -> Head:
    facts = plan.facts
    whole = isinstance(plan.method, FullPlan)
    carried = low_rank_of(plan.lora) if plan.lora and "lm_head" in outer_adapters(plan) else None
    saved = isinstance(plan.method, LoraPlan) and "lm_head" in plan.method.modules_to_save
    how = replace(
        projection(plan, stack, precision), quantization=None, trained=whole or saved, rows="lm_head" in rowed(plan)
    )
    if facts.tied:
        how = replace(how, fresh=True)  # it waits for the embedding's, which it is added to
    if saved:
        how = replace(how, precision=replace(precision, trained=copied_width(plan, precision)))
    return Head(
        hidden=facts.hidden,
        stream=precision.stream,
        matrix=Matrix(facts.hidden, facts.vocab, carried, LOGIT),
        loss=computed_loss(plan, stack),
        slice=2 * min(SLICE, facts.vocab) * facts.hidden if precision.autocast and precision.rest == 4 else 0,
        softcap=facts.softcap,
        wide_norms=facts.family.startswith("gemma"),
        fused_norms=plan.training.kernels == "liger",
        base_trained=whole,
        indexed=stack.stack == "native",
        widened=precision.autocast,
        held=stack.holds_outputs,
        projection=how,
    )
