# pyright: basic
# Strict typing stops at transformers and peft, whose classes are made at run time.
"""The base model, its tokenizer, and what is trained of it.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils.quantization_config import Mxfp4Config

Plan = dict[str, Any]

ATTENTION = {
    "sdpa": "sdpa",
    "eager": "eager",
    "flex": "flex_attention",
    "flash_attention_2": "flash_attention_2",
    "flash_attention_3": "flash_attention_3",
}
"""Our names of attention implementations: those of transformers."""

LORA_KINDS = ("lora", "qlora", "dora", "qdora")


class ModelError(Exception):
    """What is wrong with the model or with what is to be trained of it, in words for its owner."""


def load_base(plan: Plan, device: str, *, quantized: bool = True) -> Any:
    """The base model on a device, in the type that its weights are trained or kept in.

    `quantized=False` loads a quantised method's base in 16 bit, to merge into.
    """
    model = plan["model"]
    options = loading(plan, device, quantized=quantized)
    try:
        return AutoModelForCausalLM.from_pretrained(model["base"], revision=model["revision"], **options)
    except (OSError, ValueError) as error:
        raise ModelError(f'base model "{model["base"]}" cannot be loaded: {error}') from error


def loading(plan: Plan, device: str, *, quantized: bool = True) -> dict[str, Any]:
    """How the base is loaded, wherever its weights come from."""
    return {
        "dtype": _weights_dtype(plan),
        "attn_implementation": ATTENTION[plan["model"]["attention"]],
        "trust_remote_code": plan["model"]["trust_remote_code"],
        "quantization_config": _quantization(plan) if quantized else None,
        "device_map": {"": device},
    }


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
    )


def choose_trained(base: Any, plan: Plan) -> Any:
    """The model with exactly what the method trains set to be trained."""
    method = plan["method"]
    if method["kind"] in LORA_KINDS:
        return _with_adapters(base, plan)
    if method["kind"] == "full":
        _freeze(base, method["freeze"], method["train_only"])
        return base
    raise ModelError(f"method {method['kind']} is not written yet")


def _with_adapters(base: Any, plan: Plan) -> PeftModel:
    method = plan["method"]
    modules, parameters = _targets(base, method["target_modules"])
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=method["rank"],
        lora_alpha=method["alpha"],
        lora_dropout=method["dropout"],
        target_modules=modules,
        target_parameters=parameters or None,
        modules_to_save=method["modules_to_save"] or None,
        use_rslora=method["rslora"],
        use_dora=method["kind"] in ("dora", "qdora"),
        init_lora_weights=True if method["init"] == "default" else method["init"],
    )
    base.requires_grad_(False)
    try:
        model = get_peft_model(base, config)
    except ValueError as error:
        raise ModelError(f"the adapters of this method cannot be made: {error}") from error
    set_adapter_dtype(model, plan)
    return model  # type: ignore[return-value]


def set_adapter_dtype(model: Any, plan: Plan) -> None:
    """Adapters in `method.adapter_dtype`; other trained weights as they are, but never float16, which cannot learn."""
    wanted = getattr(torch, plan["method"]["adapter_dtype"])
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "lora_" in name:
            parameter.data = parameter.data.to(wanted)
        elif parameter.requires_grad and parameter.dtype == torch.float16:
            parameter.data = parameter.data.float()


def _targets(base: Any, wanted: str | list[str]) -> tuple[str | list[str], list[str]]:
    """What PEFT calls target modules and target parameters (experts fused into one tensor)."""
    if isinstance(wanted, str):
        return wanted.removeprefix("re:"), []
    modules = {name for name, _ in base.named_modules()}
    parameters = {name for name, _ in base.named_parameters()}
    of_modules = [name for name in wanted if _ends(modules, name)]
    of_parameters = [name for name in wanted if name not in of_modules and _ends(parameters, name)]
    unknown = [name for name in wanted if name not in of_modules and name not in of_parameters]
    if unknown:
        raise ModelError(f"the model has no {', '.join(unknown)}, which method.target_modules names")
    return of_modules, of_parameters


def _ends(names: set[str], name: str) -> bool:
    return any(full == name or full.endswith(f".{name}") for full in names)


def _freeze(model: Any, freeze: list[str], train_only: list[str]) -> None:
    """Train all parameters but those that match `freeze`, or only those that match `train_only`."""
    for name, parameter in model.named_parameters():
        trained = any(fnmatchcase(name, item) for item in train_only) if train_only else True
        parameter.requires_grad_(trained and not any(fnmatchcase(name, item) for item in freeze))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError("no parameter is left to train: look at method.freeze and method.train_only")


def compile_layers(model: Any) -> None:
    """torch.compile for each decoder layer by itself: one compilation serves them all."""
    base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    for layer in base.get_decoder().layers:
        layer.compile()


def use_liger(base: Any) -> None:
    """Liger's kernels for norms, rotary positions and the mlp; the loss stays with the trainer."""
    from liger_kernel.transformers import _apply_liger_kernel_to_instance  # pyright: ignore[reportMissingImports] (an extra, CUDA only)

    _apply_liger_kernel_to_instance(model=base, fused_linear_cross_entropy=False)
