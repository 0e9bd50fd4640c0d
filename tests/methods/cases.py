"""The methods of the table, each as a recipe says it, and what else is asked of each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "quickstart" / "quickstart.ftc.yaml"
STEPS = 100
SHORT = 4


class Method(NamedTuple):
    """`said`: the recipe's `method`. `rate`: the learning rate at which it learns here."""

    name: str
    said: dict[str, object]
    rate: float


LORA: dict[str, object] = {"kind": "lora", "rank": 16, "alpha": 32}
QLORA: dict[str, object] = {**LORA, "kind": "qlora"}
METHODS = (
    Method("full", {"kind": "full"}, 1e-3),
    Method("full, most of it frozen", {"kind": "full", "train_only": ["model.layers.3.*", "model.norm*"]}, 1e-3),
    Method("LoRA", LORA, 3e-3),
    Method("LoRA, rsLoRA", {**LORA, "rslora": True}, 1e-3),
    Method("LoRA, PiSSA", {**LORA, "init": "pissa"}, 1e-3),
    Method("LoRA, OLoRA", {**LORA, "init": "olora"}, 1e-3),
    Method("LoRA+", {**LORA, "lora_plus_ratio": 4.0}, 1e-3),
    Method("DoRA", {**LORA, "kind": "dora"}, 3e-3),
    Method("QLoRA, nf4", QLORA, 3e-3),
    Method("QLoRA, nf4, one quantisation", {**QLORA, "quantization": {"double_quant": False}}, 3e-3),
    Method("QLoRA, fp4", {**QLORA, "quantization": {"type": "fp4"}}, 3e-3),
    Method("QLoRA, 8 bit", {**QLORA, "quantization": {"bits": 8}}, 3e-3),
    Method("QLoRA, LoftQ", {**QLORA, "init": "loftq"}, 3e-3),
    Method("QDoRA", {**QLORA, "kind": "qdora"}, 3e-3),
    Method("IA3", {"kind": "ia3"}, 5e-2),
    Method("prefix tuning", {"kind": "prefix_tuning", "virtual_tokens": 8}, 1e-1),
    Method("prefix tuning, by a network", {"kind": "prefix_tuning", "virtual_tokens": 8, "projection": True}, 1e-2),
    Method("prompt tuning", {"kind": "prompt_tuning", "virtual_tokens": 8}, 1e-1),
    Method("p-tuning", {"kind": "p_tuning", "virtual_tokens": 8, "encoder_hidden_size": 64}, 1e-2),
    Method("bottleneck adapters, Pfeiffer", {"kind": "adapter", "bottleneck": 16}, 1e-2),
    Method("bottleneck adapters, Houlsby", {"kind": "adapter", "bottleneck": 16, "placement": "houlsby"}, 1e-2),
)
