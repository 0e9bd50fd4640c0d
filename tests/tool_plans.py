"""Plans for the tests of the tool targets, built by hand: no recipe, no facts to look up."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from plans import TRAINING

from schemas.facts import Linear, ModelFacts
from schemas.method_plan import FullPlan, LoraPlan, QuantizationPlan
from schemas.plan import (
    CheckpointPlan,
    DataPlan,
    EvaluationPlan,
    HardwarePlan,
    LoggingPlan,
    ModelPlan,
    OutputPlan,
    Plan,
    SourcePlan,
    TargetsPlan,
    TokensPlan,
)
from schemas.recipe import Fields

LINEARS = tuple(
    Linear(name, "attention" if name in "q_proj k_proj v_proj o_proj" else "mlp", 2048, 2048, 16)
    for name in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
)

FACTS = ModelFacts(
    name="llama-3.2-1b-instruct",
    hub_id="meta-llama/Llama-3.2-1B-Instruct",
    family="llama",
    hidden=2048,
    layers=16,
    heads=32,
    kv_heads=8,
    head_dim=64,
    intermediate=8192,
    vocab=128256,
    tied=True,
    context=131072,
    linears=LINEARS,
    params=1_235_814_400,
    active_params=1_235_814_400,
    norm_params=67_584,
    sliding_window=None,
    experts=0,
    experts_per_token=0,
    softcap=False,
    dtype="bfloat16",
    chat_format="llama3",
    prequantized=None,
    origin="catalog",
    source="",
)

FOUR_BIT = QuantizationPlan(4, "nf4", True, "bfloat16")
FULL = FullPlan("full", (), (), "bfloat16")


def lora(kind: Any = "lora", **changes: Any) -> LoraPlan:
    """LoRA of one of its four kinds."""
    quantization = FOUR_BIT if kind in ("qlora", "qdora") else None
    names = tuple(linear.name for linear in LINEARS)
    plan = LoraPlan(kind, 16, 32, 0.0, names, (), False, "default", None, "float32", quantization)
    return replace(plan, **changes)


def source(path: str = "/data/train.jsonl", **changes: Any) -> SourcePlan:
    """A local file of conversations."""
    plan = SourcePlan(path, True, "messages", "train", None, None, 1.0, None, Fields())
    return replace(plan, **changes)


def plan(**changes: Any) -> Plan:
    """QLoRA of a 1B model on one card; `changes` name leaves with double underscores: `data__packing=False`."""
    base = Plan(
        version=1,
        name="support",
        model=ModelPlan(
            "meta-llama/Llama-3.2-1B-Instruct",
            "main",
            "bfloat16",
            "sdpa",
            False,
            None,
            "tokenizer",
            TokensPlan(None, None, None, ()),
        ),
        method=lora("qlora"),
        data=DataPlan(
            (source(),), (source("/data/validation.jsonl"),), None, 2048, "drop", "error", True, "assistant", True
        ),
        training=replace(TRAINING, epochs=2),
        evaluation=EvaluationPlan("epoch", 2),
        checkpoint=CheckpointPlan("epoch", 2, False, False, "auto"),
        logging=LoggingPlan(10, (), "support"),
        output=OutputPlan("/runs/support", False),
        hardware=HardwarePlan("h100", 1, 80 << 30, 1, "single", "none", 0),
        targets=TargetsPlan({}, {}),
        facts=FACTS,
        gpu=None,
        decisions=(),
    )
    for path, value in changes.items():
        base = changed(base, path.split("__"), value)
    return base


def changed(section: Any, names: list[str], value: object) -> Any:
    """The same with one leaf changed."""
    first, *rest = names
    return replace(section, **{first: changed(getattr(section, first), rest, value) if rest else value})
