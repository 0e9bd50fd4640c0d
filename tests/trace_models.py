"""Small models for traces: two layers and no weights; `a_small_plan(folder, method, …)` plans for one."""

from __future__ import annotations

import json
from pathlib import Path

from msgspec.structs import replace
from plans import a_plan, full, lora

from compiler.models import find_model
from schemas.facts import ModelFacts
from schemas.method_plan import MethodPlan
from schemas.plan import Plan

COMMON = {
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 8000,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "torch_dtype": "bfloat16",
}
LLAMA = {**COMMON, "model_type": "llama"}
EXPERTS = {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1}
LATENT = {"q_lora_rank": 64, "kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 32}
GEMMA = {**COMMON, "model_type": "gemma3_text", "head_dim": 32, "sliding_window": 512}
OTHERS: dict[str, dict[str, object]] = {
    "olmo2": {**COMMON, "model_type": "olmo2"},
    "granite": {**COMMON, "model_type": "granite", "logits_scaling": 8.0, "embedding_multiplier": 12.0},
    "starcoder2": {**COMMON, "model_type": "starcoder2", "use_bias": True},
    "deepseek_v3": {
        **COMMON,
        **EXPERTS,
        **LATENT,
        "model_type": "deepseek_v3",
        "num_key_value_heads": 8,
        "moe_intermediate_size": 128,
        "first_k_dense_replace": 1,
    },
    "gemma3_text": GEMMA,
    "gemma3": {
        "model_type": "gemma3",
        "text_config": GEMMA,
        "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 64, "num_hidden_layers": 2},
    },
}
"""Architectures outside of the catalog, and a multimodal one, of which the text part is meant."""


def a_folder(path: Path, config: dict[str, object]) -> Path:
    """A model's folder with nothing but its config.json."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def a_small_plan(
    folder: Path, method: MethodPlan | str = "lora", *, kind: dict[str, object] | None = None, **said: object
) -> Plan:
    """A plan for the model in that folder. `kind`: changes of a LoRA-like method."""
    found = find_model(str(folder), Path(), online=False)
    assert isinstance(found, ModelFacts), found
    values = {"packing": False, "length": 512, "loss": "full", **said}
    plan = a_plan("meta-llama/Llama-3.2-1B", "lora", **values)  # type: ignore[arg-type]
    if isinstance(method, str):
        method = full() if method == "full" else lora(found, kind=method, **(kind or {}))
    return replace(plan, facts=found, method=method, model=replace(plan.model, base=str(folder)))
