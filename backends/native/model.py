# pyright: basic
# Strict typing stops at transformers and peft, whose classes are made at run time.
"""The base model: how it is loaded, and made faster.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils.quantization_config import Mxfp4Config

from backends.native.attention import DOCUMENTS, register
from backends.native.spread import place

Plan = dict[str, Any]

ATTENTION = {
    "sdpa": "sdpa",
    "eager": "eager",
    "flex": "flex_attention",
    "flash_attention_2": "flash_attention_2",
    "flash_attention_3": "flash_attention_3",
}
"""Our names of attention implementations: those of transformers."""


class ModelError(Exception):
    """What is wrong with the model or with what is to be trained of it, in words for its owner."""


def load_base(plan: Plan, device: str, *, quantized: bool = True) -> Any:
    """The base model on a device, in the type that its weights are trained or kept in.

    `quantized=False` loads a quantised method's base in 16 bit, to merge into.
    """
    model = plan["model"]
    options = loading(plan, device, quantized=quantized)
    try:
        base = AutoModelForCausalLM.from_pretrained(model["base"], revision=model["revision"], **options)
    except (OSError, ValueError) as error:
        raise ModelError(f'base model "{model["base"]}" cannot be loaded: {error}') from error
    _keep_packing(base)
    return base


def _keep_packing(base: Any) -> None:
    """On some CPUs bitsandbytes packs 4-bit weights anew as soon as a model only answers, for a product that has no
    gradient, so that what is learnt from then on is wrong, and in an order that DoRA, which reads them, does not know
    (bitsandbytes 0.50 nn/modules.py Linear4bit.forward; peft 0.21 tuners/lora/dora.py)."""
    for module in base.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def loading(plan: Plan, device: str, *, quantized: bool = True) -> dict[str, Any]:
    """How the base is loaded, wherever its weights come from."""
    packed = _quantization(plan) if quantized else None
    return {
        "dtype": _weights_dtype(plan),
        "attn_implementation": attention(plan, device),
        "trust_remote_code": plan["model"]["trust_remote_code"],
        "device_map": place(plan, device),
        # Told that there is none, transformers does not read what the base itself says of how it is packed.
        **({"quantization_config": packed} if packed else {}),
    }


def attention(plan: Plan, device: str) -> str:
    """What transformers calls it. Of packed rows each document is attended to by itself, which `sdpa` could do only
    under a mask over all pairs of positions."""
    if plan["data"]["packing"] and plan["model"]["attention"] == "sdpa":
        register(device)
        return DOCUMENTS
    return ATTENTION[plan["model"]["attention"]]


def one_by_one(plan: Plan, device: str) -> Plan:
    """The plan to ask a model by, after training, in one process: rows are not packed any more, and kernels of a card
    need one. Eager attention is the one that has all that others may leave out, as the caps of Gemma's logits."""
    named = plan["model"]["attention"]
    kept = device != "cpu" or named == "sdpa"
    model = {**plan["model"], "attention": named if kept else "eager"}
    alone = {**plan["hardware"], "count": 1, "nodes": 1, "strategy": "single"}
    return {**plan, "model": model, "data": {**plan["data"], "packing": False}, "hardware": alone}


def _weights_dtype(plan: Plan) -> torch.dtype:
    method = plan["method"]
    return getattr(torch, method["weights_dtype"] if method["kind"] == "full" else plan["model"]["dtype"])


def _quantization(plan: Plan) -> Any:
    """How the weights are packed as they are loaded; None leaves them as they come."""
    shipped = plan["derived"]["prequantized"]
    if shipped == "mxfp4":
        return Mxfp4Config(dequantize=True)
    asked = plan["method"].get("quantization")
    if shipped or asked is None:
        return None
    if asked["bits"] == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=asked["type"],
        bnb_4bit_use_double_quant=asked["double_quant"],
        bnb_4bit_compute_dtype=getattr(torch, asked["compute_dtype"]),
        # FSDP2 parts what has the type of the other weights, and leaves bytes whole on every card.
        bnb_4bit_quant_storage=_weights_dtype(plan) if plan["hardware"]["strategy"] == "fsdp" else None,
    )


def compile_layers(model: Any) -> None:
    """torch.compile for each decoder layer by itself: one compilation serves them all."""
    base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    for layer in base.get_decoder().layers:
        layer.compile()


def use_liger(base: Any) -> None:
    """Liger's kernels for norms, rotary positions and the mlp; the loss stays with the trainer."""
    from liger_kernel.transformers import _apply_liger_kernel_to_instance  # pyright: ignore[reportMissingImports] (an extra, CUDA only)

    _apply_liger_kernel_to_instance(model=base, fused_linear_cross_entropy=False)
