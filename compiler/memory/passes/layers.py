"""A model's layers as the tape writes them, from its facts and the plan."""

from __future__ import annotations

from functools import lru_cache

from msgspec.structs import replace

from compiler.memory.batch import Batch, beyond_window, kernel
from compiler.memory.block import Block, block, closes
from compiler.memory.passes.attention import Heads
from compiler.memory.passes.decoder import Layer
from compiler.memory.passes.feed_forward import Experts, Mlp
from compiler.memory.passes.projection import LowRank, Matrix, Projection, Vector
from compiler.memory.precision import Precision
from compiler.memory.stacks import Profile
from compiler.memory.trainable import adapted
from schemas.facts import ModelFacts
from schemas.method_plan import AdapterPlan, FullPlan, Ia3Plan, LoraPlan
from schemas.plan import Plan


def layer_kinds(plan: Plan, stack: Profile, precision: Precision, work: Batch) -> tuple[tuple[Layer, int], ...]:
    """Each kind of layer that the model has, with how many of it there are: with an mlp or with experts, and with a
    mask or without where rows are longer than some layers' window."""
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
        casts_inputs=stack.casts_adapter_inputs,
    )


def _layer(plan: Plan, stack: Profile, precision: Precision, work: Batch, shape: Block, *, experts: bool) -> Layer:
    facts, method = plan.facts, plan.method
    carried = _adapters(plan)
    matrices = {
        item.name: Matrix(item.d_in, item.d_out, carried.get(item.name)) for item in facts.linears if not item.fused
    }
    return Layer(
        heads=_heads(plan, stack, precision, work, shape),
        attention=_attention(facts, matrices, shape),
        mlp=_mlp(plan, matrices, shape) if shape.both or not experts else None,
        experts=_experts(plan, shape) if experts else None,
        norms_after=shape.norms >= 4,
        head_norms=shape.head_norms,
        wide_norms=facts.family.startswith("gemma"),
        fused_norms=_fused(plan),
        projection=projection(plan, stack, precision),
        bottleneck=method.bottleneck if isinstance(method, AdapterPlan) else 0,
        bottlenecks=(2 if method.placement == "houlsby" else 1) if isinstance(method, AdapterPlan) else 0,
    )


def _adapters(plan: Plan) -> dict[str, LowRank | Vector]:
    """What each adapted module carries, by its name."""
    method = plan.method
    if isinstance(method, LoraPlan):
        carried = low_rank_of(method)
        return {linear.name: carried for linear, _ in adapted(method, plan.facts)}
    if isinstance(method, Ia3Plan):
        return {
            linear.name: Vector(on_input=linear.name in method.feedforward_modules)
            for linear, _ in adapted(method, plan.facts)
        }
    return {}


def low_rank_of(method: LoraPlan) -> LowRank:
    """LoRA's adapter on any one module."""
    return LowRank(method.rank, dropout=method.dropout > 0, magnitude=method.kind in ("dora", "qdora"))


def _heads(plan: Plan, stack: Profile, precision: Precision, work: Batch, shape: Block) -> Heads:
    facts = plan.facts
    return Heads(
        queries=facts.heads,
        keys=facts.kv_heads,
        size=facts.head_dim,
        kernel=kernel(plan, stack, precision, work),
        masked=work.masked,
        softcap=facts.softcap,
        fused=shape.fused,
        autocast=precision.attention if precision.autocast else 0,
        rows=work.rows > 1,
    )


def _attention(facts: ModelFacts, matrices: dict[str, Matrix], shape: Block) -> tuple[Matrix, ...]:
    names = ("qkv_proj", "o_proj") if shape.fused else ("q_proj", "k_proj", "v_proj", "o_proj")
    widths = {"q_proj": shape.queries, "k_proj": shape.keys, "v_proj": shape.keys}
    return tuple(
        matrices.get(name)
        or Matrix(*((facts.hidden, widths[name]) if name in widths else (shape.queries, facts.hidden)))
        for name in names
    )


def _mlp(plan: Plan, matrices: dict[str, Matrix], shape: Block) -> Mlp | None:
    rooms = [item for item in plan.facts.linears if item.room == "mlp" and not item.fused and item.d_out > 1]
    into = tuple(matrices[item.name] for item in rooms if not closes(item, plan.facts))
    out = next((matrices[item.name] for item in rooms if closes(item, plan.facts)), None)
    if not into or out is None:
        return None
    return Mlp(into[:2], out, shape.gated, _fused(plan))


def _fused(plan: Plan) -> bool:
    """Whether norms and the mlp's product keep their inputs alone: by Liger's kernels, or by torch's compiler, which
    computes again what is cheap. On an H100 off by 0.0 and 0.8 % (bench/results/h100.speed.json)."""
    return plan.training.kernels == "liger" or plan.training.compile


def _experts(plan: Plan, shape: Block) -> Experts:
    facts = plan.facts
    trained = isinstance(plan.method, FullPlan)
    gate = any(item.name == "shared_expert_gate" for item in facts.linears)
    return Experts(shape.expert_inner, facts.experts, facts.experts_per_token, facts.hidden, trained, gate)
