"""A plan with some of its leaves set, as if its recipe had said so: what follows from a leaf follows here too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from msgspec.structs import replace

from compiler.hardware import find_gpu
from schemas.facts import Gpu
from schemas.method import LoraKind
from schemas.method_plan import FullPlan, LoraPlan, QuantizationPlan
from schemas.plan import Plan
from schemas.section import Dtype

EVALUATION: Final = "evaluation.batch_size"
"""The leaf that follows the micro batch where it was left to the compiler."""
RANK, ALPHA = 16, 32
"""The language's defaults of new adapters."""


def with_leaves(plan: Plan, leaves: Mapping[str, object]) -> Plan:
    """The plan with these leaves (recipe path → value), in order; other leaves keep what they were solved to.

    A leaf that is set was said, not decided: targets warn of what the compiler decided and refuse what was said.
    """
    for path, value in leaves.items():
        plan = _with_leaf(plan, path, value)
    return replace(plan, decisions=tuple(item for item in plan.decisions if item.path not in leaves))


def _with_leaf(plan: Plan, path: str, value: object) -> Plan:
    if path == "method":
        return _with_kind(plan, cast("dict[str, LoraKind]", value)["kind"])
    if path == "method.kind":
        return _with_kind(plan, cast("LoraKind", value))
    if path == "method.quantization.bits":
        return _in_four_bits(plan)
    if path == "hardware.gpu":
        found = find_gpu(cast("str", value))
        return on_card(plan, found) if isinstance(found, Gpu) else plan
    if path == "hardware.memory":
        return replace(plan, hardware=replace(plan.hardware, memory=plan.gpu.memory if plan.gpu else None))
    if path == "training.micro_batch_size" and decided(plan, EVALUATION):
        plan = replace(plan, evaluation=replace(plan.evaluation, batch_size=cast("int", value)))
    section, _, leaf = path.partition(".")
    return replace(plan, **{section: replace(getattr(plan, section), **{leaf: value})})


def decided(plan: Plan, path: str) -> bool:
    """Whether this leaf was left to the compiler: what is set beside it may move it."""
    return any(decision.path == path for decision in plan.decisions)


def on_card(plan: Plan, gpu: Gpu) -> Plan:
    """The plan on another card. A type that was chosen for the old card is chosen anew."""
    hardware = replace(plan.hardware, gpu=gpu.name, memory=gpu.memory)
    moved = replace(plan, gpu=gpu, hardware=hardware)
    if not decided(plan, "model.dtype") or not gpu.has_bf16:
        return moved
    return _in_bfloat16(replace(moved, model=replace(moved.model, dtype="bfloat16")))


def _in_bfloat16(plan: Plan) -> Plan:
    """Types that follow the model's, where they were left to the compiler."""
    method, dtype = plan.method, plan.model.dtype
    if isinstance(method, FullPlan) and decided(plan, "method.weights_dtype"):
        return replace(plan, method=replace(method, weights_dtype=dtype))
    quantization = plan.quantization
    if not isinstance(method, LoraPlan) or not quantization or not decided(plan, "method.quantization.compute_dtype"):
        return plan
    return replace(plan, method=replace(method, quantization=replace(quantization, compute_dtype=dtype)))


def _with_kind(plan: Plan, kind: LoraKind) -> Plan:
    """Another kind of adapters, or adapters instead of all weights."""
    method = plan.method
    quantization = _four_bits(plan.model.dtype) if kind in ("qlora", "qdora") else None
    if isinstance(method, LoraPlan):
        kept = method.quantization if quantization else None
        dtype = "float32" if decided(plan, "method.adapter_dtype") else method.adapter_dtype
        return replace(plan, method=replace(method, kind=kind, adapter_dtype=dtype, quantization=kept or quantization))
    return replace(plan, method=_adapters(plan, kind, quantization))


def _adapters(plan: Plan, kind: LoraKind, quantization: QuantizationPlan | None) -> LoraPlan:
    linears = tuple(dict.fromkeys(linear.name for linear in plan.facts.linears if not linear.fused))
    return LoraPlan(
        kind=kind,
        rank=RANK,
        alpha=ALPHA,
        dropout=0.0,
        target_modules=linears,
        modules_to_save=(),
        rslora=False,
        init="default",
        lora_plus_ratio=None,
        adapter_dtype="float32",
        quantization=quantization,
    )


def _in_four_bits(plan: Plan) -> Plan:
    method = plan.method
    if not isinstance(method, LoraPlan) or method.quantization is None:
        return plan
    four = _four_bits(method.quantization.compute_dtype)
    return replace(plan, method=replace(method, quantization=four))


def _four_bits(dtype: Dtype) -> QuantizationPlan:
    return QuantizationPlan(4, "nf4", True, dtype)
