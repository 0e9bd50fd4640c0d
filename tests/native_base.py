"""A base model small enough to train in a test, data that it can learn, and plans for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from plans import TRAINING

from backends.native import emit
from schemas.facts import Gpu, ModelFacts
from schemas.footprint import Footprint, Parts, Phases
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

SPECIALS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|pad|>")
LLAMA3 = (Path(__file__).parents[1] / "schemas/catalog/chat_templates/llama3.jinja").read_text("utf-8")
UNMARKED = LLAMA3.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
COLORS = ("red", "green", "blue", "black", "white", "brown", "pink", "gray")
GIB = 1 << 30


def make_tokenizer() -> Any:
    """A byte-level tokenizer with Llama 3's special tokens and chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(["The colour of car 1 is " + color for color in COLORS] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=SPECIALS[0],
        eos_token=SPECIALS[3],
        pad_token="<|pad|>",
    )
    tokenizer.chat_template = LLAMA3
    return tokenizer


def make_base(folder: Path) -> Path:
    """Two layers of Llama, 64 wide, with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Ground:
    """A base and its data, shared by all tests of a file."""

    base: Path
    rows: Path


def chats(first: int, count: int) -> list[dict[str, Any]]:
    """Conversations about the colours of cars."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"car {number}?"},
                {"role": "assistant", "content": COLORS[number % len(COLORS)]},
            ]
        }
        for number in range(first, first + count)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def source(path: Path, kind: Any = "messages", **changes: Any) -> SourcePlan:
    return replace(SourcePlan(str(path), True, kind, "train", None, None, 1.0, None, Fields()), **changes)


def lora(kind: Any = "lora", **changes: Any) -> LoraPlan:
    quantization = QuantizationPlan(4, "nf4", True, "float32") if kind in ("qlora", "qdora") else None
    plan = LoraPlan(kind, 8, 16, 0.0, LINEARS, (), False, "default", None, "float32", quantization)
    return replace(plan, **changes)


def full(**changes: Any) -> FullPlan:
    return replace(FullPlan("full", (), (), "float32"), **changes)


def make_plan(base: Path, train: SourcePlan, out: Path, **sections: Any) -> Plan:
    """A plan for a CPU. `sections`: replacements, as `training={"max_steps": 5}` or `method=full()`."""
    plan = Plan(
        version=1,
        name="cars",
        model=ModelPlan(
            str(base), "main", "float32", "sdpa", False, None, "tokenizer", TokensPlan(None, None, None, ())
        ),
        method=lora(),
        data=DataPlan((train,), 16, None, 64, "drop", "error", False, "assistant", True),
        training=replace(
            TRAINING,
            epochs=None,
            max_steps=12,
            micro_batch_size=8,
            learning_rate=1e-2,
            gradient_checkpointing=False,
            loss="chunked",
        ),
        evaluation=EvaluationPlan(6, 16),
        checkpoint=CheckpointPlan(6, 2, False, False, "auto"),
        logging=LoggingPlan(2, (), "cars"),
        output=OutputPlan(str(out), False),
        hardware=HardwarePlan("cpu", 1, None, 1, "single", "none", 0),
        targets=TargetsPlan({}, {}),
        facts=FACTS,
        gpu=Gpu("cpu", "CPU", 8 * GIB, None, None, None, None, None, None, ""),
        decisions=(),
    )
    for name, change in sections.items():
        plan = replace(plan, **{name: replace(getattr(plan, name), **change) if isinstance(change, dict) else change})
    return plan


FACTS = ModelFacts(
    name="cars",
    hub_id=None,
    family="llama",
    hidden=64,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=16,
    intermediate=128,
    vocab=400,
    tied=False,
    context=256,
    linears=(),
    params=100_000,
    active_params=100_000,
    norm_params=320,
    sliding_window=None,
    experts=0,
    experts_per_token=0,
    softcap=False,
    dtype="float32",
    chat_format="llama3",
    prequantized=None,
    origin="folder",
    source="",
)

FOOTPRINT = Footprint(
    stack="native",
    verdict="fits",
    capacity=8 * GIB,
    allocated=GIB // 2,
    reserved=GIB // 2,
    device=GIB,
    low=GIB // 2,
    high=GIB,
    method="formula",
    confidence="low",
    phases=Phases(0, GIB // 2, 0, 0, 0),
    parts=Parts(GIB, 0, 0, 0, 0, 0, 0, 0, 0),
    host_ram=GIB,
    because=(),
)


def write_artifact(plan: Plan, folder: Path) -> Path:
    """The artifact's folder, as `ftc build` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in emit(plan, FOOTPRINT, ()).files.items():
        (folder / name).write_text(text, "utf-8")
    return folder
