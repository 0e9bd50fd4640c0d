"""How much a plan computes: floating-point operations of its model, whatever the card or the stack."""

from __future__ import annotations

from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan

TERA = 1e12


def token_flops(plan: Plan) -> int:
    """Operations of one training token in the model's weights: 6 for a trained one, 4 for a frozen one (its gradient
    is not computed), 2 more for each time that it is only asked. Recomputed activations are not counted. Of full
    fine-tuning as if nothing were frozen: by which share it is, the run sees (`gradient_flops`)."""
    weights = plan.facts.matmul_params
    passes = 6 * weights if isinstance(plan.method, FullPlan) else 4 * weights + 6 * adapter_params(plan)
    return passes + 2 * weights * asked(plan)


def gradient_flops(plan: Plan) -> int:
    """Operations of one training token for gradients of the base's own weights, if none of them are frozen."""
    return 2 * plan.facts.matmul_params if isinstance(plan.method, FullPlan) else 0


def pair_flops(plan: Plan) -> int:
    """Operations of attention for each position that a training token looks at: two products of a head's width, their
    gradients twice that."""
    facts = plan.facts
    forward = 4 * facts.layers * facts.heads * facts.head_dim
    return (3 + asked(plan)) * forward


def asked(plan: Plan) -> int:
    """Passes without a gradient, of about as many tokens: the model as it was before it learnt, and for kto both once
    more, with the answers of others."""
    return {"dpo": 1, "kto": 3}.get(plan.training.objective, 0)


def peak_flops(plan: Plan) -> float | None:
    """FLOP/s of one card in the plan's type, by its data sheet; None for a CPU and for float32, whose rates are not in
    the catalog."""
    if plan.gpu is None or plan.gpu.is_cpu or plan.model.dtype == "float32":
        return None
    rate = plan.gpu.bf16_tflops if plan.model.dtype == "bfloat16" else plan.gpu.fp16_tflops
    return rate * TERA if rate else None


def adapter_params(plan: Plan) -> int:
    """Elements of LoRA matrices that a token meets: of experts those it is sent to. Other methods' are too few to
    count."""
    method = plan.method
    if not isinstance(method, LoraPlan) or isinstance(method.target_modules, str):
        return 0
    chosen = [linear for linear in plan.facts.linears if linear.name in method.target_modules]
    met = {"experts": plan.facts.experts_per_token}
    return sum(
        method.rank * (item.d_in + item.d_out) * min(item.copies, met.get(item.room, item.copies)) * item.layers
        for item in chosen
    )
