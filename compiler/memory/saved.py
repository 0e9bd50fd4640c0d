"""What a run trains and what it leaves on disk: elements, their share of the model, bytes of the files."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from compiler.memory.precision import Precision, precision
from compiler.memory.stacks import profile
from compiler.memory.trainable import Group, trainable
from schemas.footprint import Stack
from schemas.method_plan import FullPlan, MethodPlan, PrefixPlan, PTuningPlan
from schemas.plan import Plan


class Trained(Struct, frozen=True):
    """`parameters`: trained elements. `share`: of all elements of the model with what was added to it (0 to 1), as
    PEFT's print_trainable_parameters counts. `saved`: the whole model, or an adapter that needs its base.
    `saved_bytes`: its weights in the type they are trained in; the tokenizer beside them is not counted."""

    parameters: int
    share: float
    saved: Literal["adapter", "model"]
    saved_bytes: int


def trained(plan: Plan, stack: Stack) -> Trained:
    """What this stack trains of this plan, and what it saves at the end."""
    kept = precision(plan, profile(stack))
    groups = trainable(plan, kept)
    parameters = sum(group.elements for group in groups)
    added = sum(group.elements for group in groups if group.added)
    return Trained(
        parameters=parameters,
        share=parameters / (plan.facts.params + added),
        saved="model" if isinstance(plan.method, FullPlan) else "adapter",
        saved_bytes=_saved_bytes(plan, groups, kept),
    )


def _saved_bytes(plan: Plan, groups: tuple[Group, ...], kept: Precision) -> int:
    """Of full fine-tuning all weights, frozen ones too; else what was trained, in its own type."""
    if isinstance(plan.method, FullPlan):
        return plan.facts.params * kept.rest
    made = _made(plan.method, plan)
    own, *others = groups
    return (own.size if made is None else made * own.width) + sum(group.size for group in others)


def _made(method: MethodPlan, plan: Plan) -> int | None:
    """Elements that PEFT saves instead of the network that makes them: of p-tuning the embeddings, of prefix tuning
    the keys and values (peft 0.21, PeftModel.get_prompt_embedding_to_save). None where what is trained is saved."""
    facts = plan.facts
    if isinstance(method, PTuningPlan):
        return method.virtual_tokens * facts.hidden
    if isinstance(method, PrefixPlan):
        return method.virtual_tokens * facts.layers * 2 * facts.kv_heads * facts.head_dim
    return None
