"""Runs to compare the formula with the trace on, drawn from a seed: a `Case` is short enough to print and to cache.

Large models keep all their widths and lose layers, so that a trace takes seconds; `layers` None is the true depth.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from bench.memory_plans import NF4, a_plan, card, full, lora
from compiler.checkpoint.facts import Label, facts_from_config
from compiler.model_catalog import look_up
from schemas.facts import ModelFacts
from schemas.footprint import Stack
from schemas.method_plan import MethodPlan, QuantizationPlan
from schemas.plan import Plan
from schemas.section import Dtype

BENCH: Final = Path(__file__).resolve().parent
OTHERS: Final = BENCH / "data" / "other_configs.json"
"""Sizes of models that are not in the catalog."""

FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "llama": (
        "HuggingFaceTB/SmolLM2-135M",
        "meta-llama/Llama-3.2-1B",
        "meta-llama/Llama-3.1-8B",
        "meta-llama/Llama-2-7b-hf",
        "meta-llama/Llama-3.1-70B",
    ),
    "mistral": ("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-v0.3", "mistralai/Mistral-Nemo-Base-2407"),
    "qwen2": ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-32B"),
    "qwen3": ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-4B", "Qwen/Qwen3-8B"),
    "gemma2": ("google/gemma-2-2b", "google/gemma-2-9b"),
    "gemma3": ("google/gemma-3-270m", "google/gemma-3-1b-pt", "google/gemma-3-4b-pt"),
    "phi3": ("microsoft/Phi-3-mini-4k-instruct", "microsoft/phi-4"),
    "moe": ("Qwen/Qwen1.5-MoE-A2.7B", "Qwen/Qwen3-30B-A3B", "mistralai/Mixtral-8x7B-v0.1"),
    "other": ("ibm-granite/granite-3.1-2b-base", "allenai/OLMo-2-1124-7B", "bigcode/starcoder2-3b"),
}
"""Families by share: one case in nine is of each; "other" are those that the formula has no line for, or never saw."""
WHOLE: Final = frozenset(
    {
        "HuggingFaceTB/SmolLM2-135M",
        "meta-llama/Llama-3.2-1B",
        "Qwen/Qwen2.5-0.5B",
        "Qwen/Qwen3-0.6B",
        "google/gemma-3-270m",
    }
)
"""Small enough to be traced at their true depth now and then."""
METHODS: Final = ("full", "full", "lora", "lora", "lora", "qlora", "qlora", "qlora", "dora", "qdora")
STACKS: Final[tuple[Stack, ...]] = ("native", "native", "llamafactory", "peft", "axolotl")
TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj"),
    "qv": ("q_proj", "v_proj", "qkv_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj", "gate_up_proj", "c_fc", "c_proj"),
}
"""Sets of modules beside "all": every linear layer that is no fused expert. A set of which a model has none (the
feed-forward part of mixtures) stands for all."""


class Case(Struct, frozen=True):
    """One run. Lengths in tokens; `layers` None: as many as the model has."""

    model: str
    family: str
    layers: int | None
    stack: Stack
    kind: str
    weights_dtype: str = "bfloat16"
    rank: int = 16
    dropout: float = 0.0
    targets: str = "all"
    adapter_dtype: str = "float32"
    saved: tuple[str, ...] = ()
    rslora: bool = False
    bits: int = 4
    double_quant: bool = True
    dtype: Dtype = "bfloat16"
    length: int = 1024
    micro: int = 1
    packing: bool = False
    checkpointing: bool | str = True
    loss: str = "full"
    attention: str = "sdpa"
    optimizer: str = "adamw"
    accumulation: int = 1
    evaluation: bool = False
    capability: float = 8.0


def draw(seed: int, count: int) -> list[Case]:
    """That many cases, all different. Families, methods and stacks take turns, so that each is there often."""
    dice = Random(f"memory cases {seed}")  # noqa: S311 - not a secret
    found: dict[Case, None] = {}
    while len(found) < count:
        found[_case(dice, len(found))] = None
    return list(found)


def plan_of(case: Case) -> Plan:
    """The plan of a case, on a card that is large enough for it."""
    known = facts_of(case)
    plan = a_plan(
        "meta-llama/Llama-3.2-1B",
        _method(case, known),
        micro=case.micro,
        accumulation=case.accumulation,
        length=case.length,
        packing=case.packing,
        checkpointing=case.checkpointing,
        loss=case.loss,
        optimizer=case.optimizer,
        attention=case.attention,
        dtype=case.dtype,
        gpu=card(1000, capability=case.capability, bf16=None if case.capability < 8 else 312.0),
        validation=0.1 if case.evaluation else None,
        evaluation=case.micro,
    )
    return replace(plan, facts=known, model=replace(plan.model, base=case.model))


def config_of(case: Case) -> Mapping[str, object]:
    """The model's config.json with the case's depth."""
    config = dict(_config(case.model))
    if case.layers is not None:
        config["num_hidden_layers"] = case.layers
        kinds = config.get("layer_types")
        if isinstance(kinds, list):
            config["layer_types"] = kinds[: case.layers]
    return config


def facts_of(case: Case) -> ModelFacts:
    """What the compiler knows about that model."""
    label = Label(case.model.rpartition("/")[2].lower(), case.model, "folder", "a case", None)
    found = facts_from_config(config_of(case), label)
    if isinstance(found, str):
        raise TypeError(f"{case.model}: {found}")
    return found


@cache
def _config(model: str) -> Mapping[str, object]:
    listed = look_up(model)
    return listed.config if listed else json.loads(OTHERS.read_text(encoding="utf-8"))[model]


def _method(case: Case, known: ModelFacts) -> MethodPlan:
    if case.kind == "full":
        return full(weights_dtype=case.weights_dtype)
    names = tuple(dict.fromkeys(linear.name for linear in known.linears if not linear.fused))
    asked = TARGETS.get(case.targets, names)
    quantised = case.kind.startswith("q")
    small = replace(NF4, double_quant=case.double_quant, compute_dtype=case.dtype)
    return lora(
        known,
        case.rank,
        case.kind,
        dropout=case.dropout,
        target_modules=tuple(name for name in names if name in asked) or names,
        adapter_dtype=case.adapter_dtype,
        modules_to_save=case.saved,
        rslora=case.rslora,
        quantization=(small if case.bits == 4 else QuantizationPlan(8, None, None, case.dtype)) if quantised else None,
    )


# --- drawing


def _case(dice: Random, number: int) -> Case:
    family = tuple(FAMILIES)[number % len(FAMILIES)]
    model = dice.choice(FAMILIES[family])
    kind = METHODS[(number // 2) % len(METHODS)] if number % 3 else dice.choice(METHODS)
    stack = STACKS[(number // 3) % len(STACKS)] if number % 4 else dice.choice(STACKS)
    depth = None if model in WHOLE and dice.random() < 0.3 else dice.choice((2, 4, 6, 8, 12))
    case = Case(model, family, depth, stack, kind, **_shape(dice), **_training(dice, stack))
    trained = _full(dice) if kind == "full" else _adapters(dice, kind.startswith("q"))
    return _consistent(replace(case, **trained), dice)


def _shape(dice: Random) -> dict[str, Any]:
    length = dice.choice((256, 512, 512, 1024, 1024, 2048, 2048, 4096, 8192))
    rows = (1, 1, 2, 4, 8) if length < 2048 else (1, 1, 2, 4) if length < 8192 else (1, 1, 2)
    return {
        "length": length,
        "micro": dice.choice(rows),
        "packing": dice.random() < 0.3,
        "attention": dice.choice(("sdpa", "sdpa", "sdpa", "eager")),
    }


def _training(dice: Random, stack: Stack) -> dict[str, Any]:
    kinds = (True, True, False, False, "selective") if stack == "native" else (True, True, False)
    return {
        "checkpointing": dice.choice(kinds),
        "loss": dice.choice(("chunked", "full")) if stack == "native" else "full",
        "optimizer": dice.choice(("adamw", "adamw", "adamw", "sgd", "adafactor")),
        "accumulation": dice.choice((1, 4)),
        "evaluation": dice.random() < 0.3,
        "dtype": dice.choice(("bfloat16",) * 6 + ("float16", "float32")),
    }


def _full(dice: Random) -> dict[str, Any]:
    return {"weights_dtype": dice.choice(("bfloat16", "float32"))}


def _adapters(dice: Random, quantised: bool) -> dict[str, Any]:
    small = {"bits": dice.choice((4, 4, 4, 4, 8)), "double_quant": dice.choice((True, True, False))}
    return (small if quantised else {}) | {
        "rank": dice.choice((4, 8, 16, 32, 64, 128)),
        "dropout": dice.choice((0.0, 0.0, 0.05, 0.1)),
        "targets": dice.choice(("all", "all", "attention", "qv", "mlp")),
        "adapter_dtype": dice.choice(("float32", "float32", "bfloat16")),
        "saved": dice.choice(((),) * 8 + (("lm_head",), ("embed_tokens", "lm_head"))),
        "rslora": dice.random() < 0.1,
    }


def _consistent(case: Case, dice: Random) -> Case:
    """What contradicts is made to agree. transformers has no fused kernel for gemma 2; starcoder2's feed-forward
    modules have names that the compiler does not know; float16 and old cards go together."""
    if case.family == "gemma2":
        dice.choice(range(4))  # drawn and not used: what a seed gives stays what it was
        case = replace(case, attention="eager")
    if case.model.startswith("bigcode/") and case.targets in ("all", "mlp"):
        case = replace(case, targets="attention")
    if case.attention == "eager" and case.length > 4096:
        case = replace(case, length=4096)
    if case.dtype == "float16":
        case = replace(case, capability=7.5)
    if case.dtype != "bfloat16":
        trained = {"weights_dtype": "float32"} if case.kind == "full" else {"adapter_dtype": "float32"}
        case = replace(case, **trained)
    return case


def described(case: Case) -> str:
    """A case in one line: what is not as usual."""
    usual = Case(case.model, case.family, case.layers, case.stack, case.kind)
    said = [f"{name}={value}" for name, value in _differences(case, usual)]
    return f"{case.model.rpartition('/')[2]} x{case.layers or 'all'} {case.kind} {case.stack} {' '.join(said)}"


def _differences(case: Case, usual: Case) -> Iterator[tuple[str, object]]:
    for name in case.__struct_fields__:
        if getattr(case, name) != getattr(usual, name):
            yield name, getattr(case, name)


if __name__ == "__main__":
    for item in draw(int(sys.argv[1]), int(sys.argv[2])):
        print(described(item))
