"""What Axolotl loads and what of it is trained."""

from __future__ import annotations

import re
from typing import Final

from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan


def model(plan: Plan) -> dict[str, object]:
    """Precision, and tokens that differ from the tokenizer's."""
    tokens = plan.model.tokens
    special = {"pad_token": tokens.pad, "eos_token": tokens.eos, "bos_token": tokens.bos}
    return {
        "bf16": plan.model.dtype == "bfloat16",
        "fp16": plan.model.dtype == "float16",
        "tf32": False,
        "special_tokens": {name: token for name, token in special.items() if token} or None,
        "tokens": tokens.add or None,
    }


def method(plan: Plan) -> dict[str, object]:
    """Adapters, or which of the model's own parameters."""
    how = plan.method
    if not isinstance(how, LoraPlan):
        return {"adapter": None, "unfrozen_parameters": _unfrozen(how) if isinstance(how, FullPlan) else None}
    modules, parameters = targets(plan, how)
    return {
        "adapter": "qlora" if how.quantization and how.quantization.bits == 4 else "lora",
        "lora_target_modules": modules,
        "lora_target_parameters": parameters or None,
        "lora_modules_to_save": how.modules_to_save or None,
        "peft_use_dora": how.kind in ("dora", "qdora"),
        "peft_init_lora_weights": None if how.init == "default" else how.init,
        "loraplus_lr_embedding": 1e-6 if how.lora_plus_ratio else None,
        # Kernels of its own, switched on by itself where it can: what is weighed and compared is the plain path.
        "lora_mlp_kernel": False,
        "lora_qkv_kernel": False,
        "lora_o_kernel": False,
        "lora_embedding_kernel": False,
        **_quantization(how),
    }


def targets(plan: Plan, how: LoraPlan) -> tuple[str | list[str], list[str]]:
    """What PEFT calls target modules, and target parameters: experts that are fused into one tensor."""
    if isinstance(how.target_modules, str):
        return how.target_modules.removeprefix("re:"), []
    fused = {linear.name for linear in plan.facts.linears if linear.fused}
    names = how.target_modules
    return [name for name in names if name not in fused], [name for name in names if name in fused]


def _quantization(method: LoraPlan) -> dict[str, object]:
    quantization = method.quantization
    bits = quantization.bits if quantization else None
    loading: dict[str, object] = {"load_in_4bit": bits == 4, "load_in_8bit": bits == 8}
    if quantization and bits == 4:
        loading["bnb_config_kwargs"] = {
            "bnb_4bit_quant_type": quantization.type,
            "bnb_4bit_use_double_quant": quantization.double_quant,
            "bnb_4bit_compute_dtype": quantization.compute_dtype,
        }
    return loading


PART: Final = re.compile(r"\*|\?|\[!?\]?[^]]*\]|.", re.DOTALL)
"""A star, a question mark, a class of characters, or a character."""


def _unfrozen(how: FullPlan) -> list[str] | None:
    """The patterns of what is trained, as regular expressions over whole names."""
    if not (how.freeze or how.train_only):
        return None
    frozen = "|".join(f"{_expression(pattern)}$" for pattern in how.freeze)
    kept_out = f"(?!{frozen})" if frozen else ""
    return [f"^{kept_out}{_expression(pattern)}$" for pattern in how.train_only or ("*",)]


def _expression(pattern: str) -> str:
    """A pattern of names as a regular expression in which a dot is a dot already, so that `.*` would not do."""
    return "".join(map(_part, PART.findall(pattern)))


def _part(part: str) -> str:
    if part in "*?.":
        return {"*": "[^ ]*", "?": "[^ ]", ".": "."}[part]
    return f"[^{part[2:]}" if part.startswith("[!") else part if part.startswith("[") else re.escape(part)
