"""Changes to the method that save memory: lesser adapters, fewer bits, another method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from compiler.memory.fixes.change import Change, Harm
from compiler.memory.fixes.setting import RANK, decided
from compiler.resolve.training import LEARNING_RATES
from schemas.method import LoraKind
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan

SMALLEST_RANK: Final = 8
"""The rank below which less is not proposed."""
ADAPTERS: Final[dict[str, tuple[LoraKind, ...]]] = {
    "full": ("lora", "qlora"),
    "lora": ("qlora",),
    "dora": ("qdora", "qlora"),
    "qdora": ("qlora",),
}
"""Method → methods that need less, the most alike first."""


def narrower_adapters(plan: Plan) -> Iterator[Change]:
    """Adapters, their gradients and state in 16 bit, beside a base in the same type."""
    method = plan.method
    if isinstance(method, LoraPlan) and method.adapter_dtype == "float32" and plan.model.dtype == "bfloat16":
        costs = "updates under 1/512 of an adapter's weight are lost: bfloat16 has 8 significant bits"
        yield Change({"method.adapter_dtype": "bfloat16"}, Harm.ROUNDED, costs)


def fewer_bits(plan: Plan) -> Iterator[Change]:
    """A base in 4 bit instead of 8, unless it is shipped so."""
    if plan.quantization is not None and plan.quantization.bits == 8 and plan.facts.prequantized is None:
        yield Change({"method.quantization.bits": 4}, Harm.LESS, "the frozen base is rounded to 4 bits instead of 8")


def lesser_methods(plan: Plan) -> Iterator[Change]:
    """Methods that train less, or keep the base in 4 bit."""
    for kind in ADAPTERS.get(plan.method.kind, ()):
        if kind not in ("qlora", "qdora") or _quantisable(plan):
            yield Change(_method_leaves(plan, kind), _method_harm(plan, kind), _method_costs(plan, kind))


def _quantisable(plan: Plan) -> bool:
    """Whether 4 bit can be had: not of what is shipped in few bits, of fused experts or beside PiSSA."""
    if plan.quantization is not None:
        return True
    method, facts = plan.method, plan.facts
    pissa = isinstance(method, LoraPlan) and method.init == "pissa"
    fused = facts.prequantized is not None or any(linear.fused for linear in facts.linears)
    return not pissa and not fused


def _method_leaves(plan: Plan, kind: LoraKind) -> dict[str, object]:
    """Leaves that only full training has go with their section; a rate that was stated is one for other weights."""
    method = plan.method
    if not isinstance(method, FullPlan):
        return {"method.kind": kind}
    said = method.freeze or method.train_only or not decided(plan, "method.weights_dtype")
    leaves: dict[str, object] = {"method": {"kind": kind}} if said else {"method.kind": kind}
    if not decided(plan, "training.learning_rate"):
        column = {"sft": 0, "pretrain": 1}.get(plan.training.objective, 2)
        leaves["training.learning_rate"] = LEARNING_RATES[kind][column]
    return leaves


def _method_harm(plan: Plan, kind: LoraKind) -> Harm:
    alike = plan.method.kind == kind.removeprefix("q")
    return Harm.LESS if alike else Harm.OTHER


def _method_costs(plan: Plan, kind: LoraKind) -> str:
    said: list[str] = []
    if isinstance(plan.method, FullPlan):
        linears = [linear for linear in plan.facts.linears if not linear.fused]
        trained = sum(RANK * (item.d_in + item.d_out) * item.copies * item.layers for item in linears)
        share = trained / plan.facts.params
        said.append(
            f"adapters of rank {RANK} ({share:.1%} of the parameters) are trained instead of all weights: they learn "
            "less and forget less (arXiv 2405.09673)"
        )
    elif plan.method.kind.removeprefix("q") != kind.removeprefix("q"):
        said.append("adapters without DoRA's magnitudes")
    if kind in ("qlora", "qdora") and plan.quantization is None:
        said.append("the frozen base is rounded to 4 bits; results as with 16 are reported (QLoRA, arXiv 2305.14314)")
    return "; ".join(said)


def lower_ranks(plan: Plan) -> Iterator[Change]:
    """Half the rank, a quarter and so on, with the scale alpha / rank that it had."""
    method = plan.method
    if not isinstance(method, LoraPlan) or method.rslora:
        return
    rank, alpha = method.rank // 2, method.alpha // 2
    while rank >= SMALLEST_RANK and alpha >= 1:
        leaves: dict[str, object] = {"method.rank": rank, "method.alpha": alpha}
        yield Change(leaves, Harm.LESS, f"adapters of rank {rank} instead of {method.rank} can learn less")
        rank, alpha = rank // 2, alpha // 2
