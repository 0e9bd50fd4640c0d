"""A model's layers as the tape writes them, from its facts and the plan."""

from __future__ import annotations

from functools import lru_cache

from msgspec.structs import replace

from compiler.memory.attention import Heads, Kernel
from compiler.memory.batch import Batch, beyond_window
from compiler.memory.block import Block, block, closes
from compiler.memory.decoder import Layer
from compiler.memory.feed_forward import Experts, Mlp
from compiler.memory.precision import Precision
from compiler.memory.projection import Matrix, Projection
from compiler.memory.stacks import Profile
from compiler.memory.trainable import adapted
from schemas.facts import Linear, ModelFacts
from schemas.method_plan import FullPlan
from schemas.plan import Plan


def layer_kinds(plan: Plan, stack: Profile, precision: Precision, work: Batch) -> tuple[tuple[Layer, int], ...]:
    """Each kind of layer that the model has, with how many of it there are: with an mlp or with experts, and with a mask
    or without where rows are longer than some layers' window."""
    facts, shape = plan.facts, _shape(plan.facts)
    dense = shape.dense_layers if not shape.both else facts.layers - shape.expert_layers
    sliding = facts.sliding_layers if beyond_window(plan, work) and not work.masked else 0
    found: list[tuple[Layer, int]] = []
    for experts, count in ((False, dense), (True, shape.expert_layers)):
        masked = round(count * sliding / facts.layers)
        for within, number in ((False, count - masked), (True, masked)):
            if number > 0:
                about = replace(work, masked=True) if within else work
                found.append((_layer(plan, stack, precision, about, shape, experts=experts), number))
    return tuple(found)


_shape = lru_cache(maxsize=64)(block)


def projection(plan: Plan, stack: Profile, precision: Precision) -> Projection:
    """What all linear layers of this run have in common."""
    return Projection(
        precision=precision,
        trained=isinstance(plan.method, FullPlan),
        fresh=plan.accumulation == 1,
        quantization=plan.quantization,
        method=plan.lora,
        casts_inputs=stack.casts_adapter_inputs,
    )


def _layer(plan: Plan, stack: Profile, precision: Precision, work: Batch, shape: Block, *, experts: bool) -> Layer:
    facts = plan.facts
    carried = {linear.name for linear, _ in adapted(plan.lora, facts)} if plan.lora else set[str]()
    matrices = {item.name: _matrix(item, carried) for item in facts.linears if not item.fused}
    return Layer(
        heads=_heads(plan, precision, work, shape),
        attention=_attention(facts, matrices, shape),
        mlp=_mlp(plan, matrices, shape) if shape.both or not experts else None,
        experts=_experts(plan, shape) if experts else None,
        norms_after=shape.norms >= 4,
        head_norms=shape.head_norms,
        wide_norms=facts.family.startswith("gemma"),
        projection=projection(plan, stack, precision),
    )


def _matrix(linear: Linear, carried: set[str]) -> Matrix:
    return Matrix(linear.d_in, linear.d_out, linear.name in carried)


def _heads(plan: Plan, precision: Precision, work: Batch, shape: Block) -> Heads:
    facts = plan.facts
    return Heads(
        queries=facts.heads,
        keys=facts.kv_heads,
        size=facts.head_dim,
        kernel=kernel(plan, precision, work),
        masked=work.masked,
        softcap=facts.softcap,
        fused=shape.fused,
        autocast=precision.attention if precision.autocast else 0,
        rows=work.rows > 1,
    )


def kernel(plan: Plan, precision: Precision, work: Batch) -> Kernel:
    """What CUDA takes: flash where nothing is masked, the memory-efficient kernel under a mask, products where neither
    takes the inputs: float32 or a card before Ampere, with fewer heads of keys than of queries."""
    if plan.model.attention == "eager":
        return "eager"
    if plan.model.attention != "sdpa":
        return "flash"
    if work.masked:
        return "efficient"
    gpu = plan.gpu
    old = gpu is not None and gpu.compute_capability is not None and gpu.compute_capability < 8
    if precision.attention == 2 and not old:
        return "flash"
    return "math" if plan.facts.kv_heads < plan.facts.heads else "efficient"


def _attention(facts: ModelFacts, matrices: dict[str, Matrix], shape: Block) -> tuple[Matrix, ...]:
    names = ("qkv_proj", "o_proj") if shape.fused else ("q_proj", "k_proj", "v_proj", "o_proj")
    widths = {"q_proj": shape.queries, "k_proj": shape.keys, "v_proj": shape.keys}
    return tuple(
        matrices.get(name)
        or Matrix(*((facts.hidden, widths[name]) if name in widths else (shape.queries, facts.hidden)), False)
        for name in names
    )


def _mlp(plan: Plan, matrices: dict[str, Matrix], shape: Block) -> Mlp | None:
    rooms = [item for item in plan.facts.linears if item.room == "mlp" and not item.fused and item.d_out > 1]
    into = tuple(matrices[item.name] for item in rooms if not closes(item, plan.facts))
    out = next((matrices[item.name] for item in rooms if closes(item, plan.facts)), None)
    if not into or out is None:
        return None
    return Mlp(into[:2], out, shape.gated, plan.training.kernels == "liger")


def _experts(plan: Plan, shape: Block) -> Experts:
    facts = plan.facts
    trained = isinstance(plan.method, FullPlan)
    gate = any(item.name == "shared_expert_gate" for item in facts.linears)
    return Experts(shape.expert_inner, facts.experts, facts.experts_per_token, facts.hidden, trained, gate)
