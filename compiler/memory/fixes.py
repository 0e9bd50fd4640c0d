"""The cheapest changes that make a run fit, each with what it costs."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from compiler.hardware import all_gpus
from compiler.memory.stacks import profile
from compiler.memory.weighing import weigh
from schemas.facts import GIB, Gpu
from schemas.footprint import Footprint, Stack
from schemas.method import LoraKind
from schemas.method_plan import FullPlan, LoraPlan, QuantizationPlan
from schemas.plan import Plan
from schemas.recipe import Optimizer

SHORTEST = 512
"""Tokens below which shortening rows is not proposed."""
QUANTISED: dict[str, LoraKind] = {"full": "qlora", "lora": "qlora", "dora": "qdora"}
EIGHT_BIT: dict[Optimizer, Optimizer] = {"adamw": "adamw_8bit", "paged_adamw": "paged_adamw_8bit"}
MOST = 5
"""How many changes are proposed."""


class Fix(Struct, frozen=True):
    """`set`: recipe path → value. `footprint`: what the changed plan weighs. `costs`: what is given up."""

    set: dict[str, object]
    footprint: Footprint
    costs: str


class Change(Struct, frozen=True):
    """A changed plan, the leaves that differ, and what that costs."""

    plan: Plan
    set: dict[str, object]
    costs: str


def fixes(plan: Plan, stack: Stack) -> tuple[Fix, ...]:
    """Changes after which the plan fits, cheapest first; empty where it fits already or nothing is known.

    Each change is tried alone; where none suffices, they are added up in that order. Another card comes last.
    """
    if weigh(plan, stack).verdict not in ("tight", "does_not_fit"):
        return ()
    alone = [_fix(change, stack) for change in _changes(plan, stack)]
    found = [fix for fix in alone if fix.footprint.verdict == "fits"]
    if not found:
        found = [fix for fix in [_together(plan, stack)] if fix]
    cards = [fix for fix in [_other_card(plan, stack)] if fix]
    return tuple((found[: MOST - len(cards)]) + cards)


def _fix(change: Change, stack: Stack) -> Fix:
    return Fix(change.set, weigh(change.plan, stack), change.costs)


def _changes(plan: Plan, stack: Stack) -> Iterator[Change]:
    """Every single change that can be made, cheapest first: what changes no result before what does."""
    maybe = (_chunked(plan, stack), _one_row(plan), _checkpointed(plan), _sharded(plan), _eight_bit(plan))
    yield from (change for change in (*maybe, _quantised(plan)) if change)
    yield from _shorter(plan)
    yield from (change for change in [_small_rank(plan)] if change)


def _together(plan: Plan, stack: Stack) -> Fix | None:
    """Changes one on top of the other, until it fits; each makes something smaller, so that this ends."""
    changed, costs = plan, dict[tuple[str, ...], str]()
    leaves = dict[str, object]()
    while change := next(_changes(changed, stack), None):
        changed = change.plan
        leaves |= change.set
        costs[tuple(change.set)] = change.costs
        footprint = weigh(changed, stack)
        if footprint.verdict == "fits":
            return Fix(leaves, footprint, "; ".join(costs.values()))
    return None


def _chunked(plan: Plan, stack: Stack) -> Change | None:
    """The same loss without the logits as a whole."""
    training = plan.training
    has = "chunked" in profile(stack).losses and training.objective in ("sft", "pretrain")
    if training.loss == "chunked" or not has:
        return None
    changed = replace(plan, training=replace(training, loss="chunked"))
    return Change(changed, {"training.loss": "chunked"}, "nothing: the same loss, in pieces")


def _one_row(plan: Plan) -> Change | None:
    """The same step, from smaller forward passes."""
    if plan.training.micro_batch_size == 1:
        return None
    training, evaluation = replace(plan.training, micro_batch_size=1), replace(plan.evaluation, batch_size=1)
    changed = replace(plan, training=training, evaluation=evaluation)
    leaves: dict[str, object] = {"training.micro_batch_size": 1}
    if plan.evaluation.batch_size > 1:
        leaves["evaluation.batch_size"] = 1
    return Change(changed, leaves, "the same steps from smaller passes: somewhat slower")


def _checkpointed(plan: Plan) -> Change | None:
    """Activations computed again instead of kept. Prefix tuning cannot."""
    if plan.training.gradient_checkpointing is not False or plan.method.kind == "prefix_tuning":
        return None
    changed = replace(plan, training=replace(plan.training, gradient_checkpointing=True))
    return Change(changed, {"training.gradient_checkpointing": True}, "a third to a half more arithmetic")


def _eight_bit(plan: Plan) -> Change | None:
    """Optimizer state in 8 bit."""
    smaller = EIGHT_BIT.get(plan.training.optimizer)
    if smaller is None:
        return None
    changed = replace(plan, training=replace(plan.training, optimizer=smaller))
    return Change(changed, {"training.optimizer": smaller}, "optimizer state is rounded to 8 bit")


def _sharded(plan: Plan) -> Change | None:
    """Weights spread over the cards instead of copied to each."""
    if plan.hardware.strategy != "ddp":
        return None
    changed = replace(plan, hardware=replace(plan.hardware, strategy="fsdp"))
    return Change(changed, {"hardware.strategy": "fsdp"}, "cards send weights to each other in every pass")


def _shorter(plan: Plan) -> Iterator[Change]:
    """Half the length, a quarter, and so on."""
    length = plan.data.max_length // 2
    while length >= SHORTEST:
        changed = replace(plan, data=replace(plan.data, max_length=length))
        yield Change(changed, {"data.max_length": length}, _loses(plan, length))
        length //= 2


def _loses(plan: Plan, length: int) -> str:
    fate = {
        "drop": "are left out",
        "truncate": "are cut off",
        "split": "are cut into more pieces",
        "error": "are errors",
    }
    return f"rows over {length} tokens {fate[plan.data.overlong]}"


def _quantised(plan: Plan) -> Change | None:
    """The base kept in 4 bit, under adapters."""
    kind = QUANTISED.get(plan.method.kind)
    if kind is None or plan.facts.prequantized or plan.model.dtype == "float32":
        return None
    four = QuantizationPlan(4, "nf4", True, plan.model.dtype)
    costs = "the frozen base is rounded to 4 bit"
    if isinstance(plan.method, LoraPlan):
        return Change(
            replace(plan, method=replace(plan.method, kind=kind, quantization=four)), {"method.kind": kind}, costs
        )
    if isinstance(plan.method, FullPlan):
        changed = replace(plan, method=_adapters(plan, kind, four))
        return Change(changed, {"method.kind": kind}, f"adapters are trained instead of all weights, and {costs}")
    return None


def _adapters(plan: Plan, kind: LoraKind, quantization: QuantizationPlan) -> LoraPlan:
    """The language's default adapters."""
    linears = tuple(dict.fromkeys(linear.name for linear in plan.facts.linears if not linear.fused))
    return LoraPlan(kind, 16, 32, 0.0, linears, (), False, "default", None, "float32", quantization)


def _small_rank(plan: Plan) -> Change | None:
    """Half the rank, with the scale that it had."""
    method = plan.method
    if not isinstance(method, LoraPlan) or method.rank <= 8:
        return None
    rank, alpha = method.rank // 2, max(method.alpha // 2, 1)
    changed = replace(plan, method=replace(method, rank=rank, alpha=alpha))
    return Change(changed, {"method.rank": rank, "method.alpha": alpha}, f"adapters of rank {rank} can learn less")


def _other_card(plan: Plan, stack: Stack) -> Fix | None:
    """The cheapest card of the catalog, by the hour or else by its memory, on which the plan fits as it stands."""
    for gpu in sorted(all_gpus(), key=_price):
        if gpu.is_cpu or gpu.memory <= (plan.hardware.memory or 0) or not _suits(plan, gpu):
            continue
        moved = replace(plan, gpu=gpu, hardware=replace(plan.hardware, gpu=gpu.name, memory=gpu.memory))
        footprint = weigh(moved, stack)
        if footprint.verdict == "fits":
            return Fix({"hardware.gpu": gpu.name}, footprint, _rent(gpu))
    return None


def _suits(plan: Plan, gpu: Gpu) -> bool:
    """Whether the card computes in the plan's type, and has the attention kernel."""
    old = gpu.compute_capability is not None and gpu.compute_capability < 8
    flash = plan.model.attention.startswith("flash")
    return (plan.model.dtype != "bfloat16" or gpu.has_bf16) and not (old and flash)


def _price(gpu: Gpu) -> tuple[bool, float, int]:
    return (gpu.usd_per_hour is None, gpu.usd_per_hour or 0.0, gpu.memory)


def _rent(gpu: Gpu) -> str:
    size = f"{gpu.title} with {gpu.memory / GIB:.1f} GiB"
    return f"{size}, about {gpu.usd_per_hour:.2f} USD an hour ({gpu.price_date})" if gpu.usd_per_hour else size
