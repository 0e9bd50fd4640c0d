"""In how many bytes the tensors of a run are kept: weights, residual stream, outputs of linear layers, attention."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory.naming import targeted
from compiler.memory.stacks import Profile
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan
from schemas.section import Dtype

WIDTH: Final[dict[Dtype, int]] = {"bfloat16": 2, "float16": 2, "float32": 4}
"""Bytes of one element."""


LEADING: Final = ("o_proj", "down_proj", "out_proj", "dense", "fc2", "c_proj")
"""Names of modules that lead back to the residual stream."""


class Precision(Struct, frozen=True):
    """Bytes an element.

    `base`: model.dtype. `rest`: base weights that are not quantised. `stream`: the residual stream. `attention`:
    queries, keys and values as the kernel sees them. `trained`: trained weights, gradients and optimizer state.
    `logits`: what the head gives out. `autocast`: whether float32 weights are cast for products.
    """

    base: int
    rest: int
    stream: int
    attention: int
    trained: int
    logits: int
    autocast: bool


def precision(plan: Plan, stack: Profile) -> Precision:
    """The bytes of this plan's tensors when this stack runs it.

    Under FSDP accelerate makes trained shards float32 (utils/fsdp_utils.py, 1.15) and gathers them in 16 bit, but only
    where products are computed in another type than weights have: ftc's own script says so of none that are alike.
    DeepSpeed makes all weights 16-bit (runtime/engine.py, 0.19), and needs no autocast.
    """
    base, strategy = WIDTH[plan.model.dtype], plan.hardware.strategy
    if strategy in ("zero2", "zero3") and base == 2:
        adapted = not isinstance(plan.method, FullPlan)
        return replace(_adapted(plan, stack, base) if adapted else _full(base, base), **_of_deepspeed(base))
    if not isinstance(plan.method, FullPlan):
        parted = strategy == "fsdp" and stack.autocast and plan.quantization is None
        return replace(_adapted(plan, stack, base), trained=4) if parted else _adapted(plan, stack, base)
    alike = stack.stack == "native" and plan.method.weights_dtype == plan.model.dtype
    if strategy == "fsdp" and stack.autocast and not alike:
        return replace(_full(base, base), rest=4, trained=4)
    return _full(base, WIDTH[plan.method.weights_dtype])


def _of_deepspeed(base: int) -> dict[str, int | bool]:
    return {"rest": base, "stream": base, "attention": base, "trained": base, "logits": base, "autocast": False}


def _full(base: int, weights: int) -> Precision:
    """Trained weights wider than model.dtype mean autocast: 16-bit products over a float32 stream."""
    autocast = weights > base
    return Precision(
        base=base,
        rest=weights,
        stream=weights,
        attention=base,
        trained=weights,
        logits=base,
        autocast=autocast,
    )


def _adapted(plan: Plan, stack: Profile, base: int) -> Precision:
    """A frozen base. K-bit preparation makes the stream, and with it the outputs of 4-bit layers, float32."""
    upcast = plan.quantization is not None and stack.upcast == "always"
    rest = 4 if upcast else base
    autocast = stack.autocast and base == 2
    trained = WIDTH[plan.method.adapter_dtype] if isinstance(plan.method, LoraPlan) else 4
    return Precision(
        base=base,
        rest=rest,
        stream=4 if autocast and trained == 4 and _widens(plan) else rest,
        attention=base if autocast else rest,
        trained=trained,
        logits=base if autocast else rest,
        autocast=autocast,
    )


def _widens(plan: Plan) -> bool:
    """Whether DoRA on a quantised base makes the residual stream float32: under autocast PEFT leaves the sum as it is,
    and adapted modules lead to the stream."""
    lora = plan.lora
    if lora is None or lora.quantization is None or lora.kind not in ("dora", "qdora"):
        return False
    leading = (linear for linear in plan.facts.linears if linear.d_out == plan.facts.hidden)
    return any(targeted(lora.target_modules, linear) for linear in leading if linear.name in LEADING)
