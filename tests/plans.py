"""Plans for tests, built without a recipe: `a_plan(model, method, …)` with everything else at its usual value."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from compiler.models import find_model
from schemas.facts import GIB, Gpu, ModelFacts
from schemas.method_plan import FullPlan, LoraPlan, MethodPlan, QuantizationPlan
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
    TrainingPlan,
)
from schemas.recipe import Fields

NF4 = QuantizationPlan(4, "nf4", True, "bfloat16")


MODEL = ModelPlan(
    "meta-llama/Llama-3.1-8B", "main", "bfloat16", "sdpa", False, None, "tokenizer", TokensPlan(None, None, None, ())
)

CHATS = SourcePlan("/data/chats.jsonl", True, "messages", "train", None, None, 1.0, None, Fields())

TRAINING = TrainingPlan(
    objective="sft",
    epochs=1,
    max_steps=None,
    global_batch_size=16,
    micro_batch_size=2,
    learning_rate=2e-4,
    scheduler="cosine",
    min_lr_ratio=0.0,
    warmup=0.1,
    optimizer="adamw",
    weight_decay=0.0,
    betas=(0.9, 0.999),
    epsilon=1e-8,
    max_grad_norm=1.0,
    gradient_checkpointing=True,
    loss="full",
    compile=False,
    kernels="none",
    neftune_alpha=None,
    seed=42,
    preference=None,
)


def facts(model: str) -> ModelFacts:
    """Facts of a model of the catalog."""
    found = find_model(model, Path(), online=False)
    assert isinstance(found, ModelFacts), found
    return found


def card(gib: float, *, capability: float = 8.0, bf16: float | None = 312.0, name: str = "test-card") -> Gpu:
    """A GPU with this much usable memory."""
    return Gpu(name, name, int(gib * GIB), capability, bf16, 312.0, 2000.0, 2.0, "2026-11", "a test")


A100_40 = card(39.4, name="a100-40gb")
A100_80 = card(79.3, name="a100-80gb")
CPU = Gpu("cpu", "CPU", 16 * GIB, None, None, None, None, None, None, "a test")


def lora(model: ModelFacts, rank: int = 16, kind: str = "lora", **changes: object) -> LoraPlan:
    """A LoRA-like method on every linear layer."""
    values: dict[str, object] = {
        "kind": kind,
        "rank": rank,
        "alpha": 2 * rank,
        "dropout": 0.0,
        "target_modules": tuple(linear.name for linear in model.linears if not linear.fused),
        "modules_to_save": (),
        "rslora": False,
        "init": "default",
        "lora_plus_ratio": None,
        "adapter_dtype": "float32",
        "quantization": NF4 if kind.startswith("q") else None,
    }
    return LoraPlan(**{**values, **changes})  # type: ignore[arg-type]


def full(**changes: object) -> FullPlan:
    """All weights trained in bfloat16."""
    values: dict[str, object] = {"kind": "full", "freeze": (), "train_only": (), "weights_dtype": "bfloat16"}
    return FullPlan(**{**values, **changes})  # type: ignore[arg-type]


def _hardware(gpu: Gpu | None, count: int, strategy: str, offload: str, reserve: int) -> HardwarePlan:
    name, memory = (gpu.name, gpu.memory) if gpu else (None, None)
    return HardwarePlan(name, count, memory, 1, strategy, offload, reserve)  # type: ignore[arg-type]


def a_plan(
    model: str = "meta-llama/Llama-3.1-8B",
    method: MethodPlan | str = "lora",
    *,
    micro: int = 1,
    accumulation: int = 1,
    length: int = 2048,
    packing: bool = True,
    checkpointing: object = True,
    loss: str = "full",
    optimizer: str = "adamw",
    attention: str = "sdpa",
    objective: str = "sft",
    dtype: str = "bfloat16",
    kernels: str = "none",
    gpu: Gpu | None = A100_80,
    count: int = 1,
    strategy: str = "single",
    offload: str = "none",
    validation: float | None = None,
    evaluation: int = 1,
    merge: bool = False,
    reserve: int = 0,
) -> Plan:
    """A plan of one optimizer step of `micro` x `accumulation` x `count` rows."""
    known = facts(model)
    if isinstance(method, str):
        method = full() if method == "full" else lora(known, kind=method)
    return Plan(
        version=1,
        name="test",
        model=replace(MODEL, base=model, dtype=dtype, attention=attention),
        method=method,
        data=DataPlan((CHATS,), validation, None, length, "drop", "error", packing, "assistant", True),
        training=replace(
            TRAINING,
            objective=objective,
            global_batch_size=micro * accumulation * count,
            micro_batch_size=micro,
            optimizer=optimizer,
            gradient_checkpointing=checkpointing,
            loss=loss,
            kernels=kernels,
        ),
        evaluation=EvaluationPlan("epoch", evaluation),
        checkpoint=CheckpointPlan("epoch", 2, False, False, "auto"),
        logging=LoggingPlan(10, (), "test"),
        output=OutputPlan("/tmp/test", merge),  # noqa: S108
        hardware=_hardware(gpu, count, strategy, offload, reserve),
        targets=TargetsPlan({}, {}),
        facts=known,
        gpu=gpu,
        decisions=(),
    )
