"""What is trained of which model, read from the loaded model itself. Runs in the tools' own Pythons."""

from __future__ import annotations

from typing import Any

import torch
from reading import Values, unique
from torch import nn
from transformers import Trainer


def read_model(trainer: Trainer) -> Values:
    """Types, adapters, quantisation, recomputation, kernels."""
    model = trainer.model
    config = model.config
    return {
        "model.base": str(getattr(config, "_name_or_path", "")),
        "model.attention": config._attn_implementation,
        **types(trainer),
        **method(model),
        **quantization(config),
        "training.gradient_checkpointing": recomputes(trainer),
        "training.kernels": "liger" if any("liger" in type(part).__module__ for part in model.modules()) else "none",
        **tokens(trainer),
    }


def types(trainer: Trainer) -> Values:
    """What is computed in, and kept in. Norms are left out: some tools keep them in float32."""
    args, model = trainer.args, trainer.model
    parameters = [(name, item) for name, item in model.named_parameters() if item.is_floating_point() and item.ndim > 1]
    trained = [item.dtype for name, item in parameters if item.requires_grad and ".modules_to_save." not in name]
    saved = [item.dtype for name, item in parameters if item.requires_grad and ".modules_to_save." in name]
    # An original beside its trained copy computes nothing; a second adapter is the reference of compared answers.
    left = ("embed", ".original_module.", ".lora_")
    frozen = [
        item.dtype for name, item in parameters if not item.requires_grad and not any(word in name for word in left)
    ]
    stored = unique(map(named, trained))
    computed = "bfloat16" if args.bf16 else "float16" if args.fp16 else named(model.dtype)
    whole = not hasattr(model, "peft_config")
    return {
        "model.dtype": computed,
        "model.dtype.frozen": unique(map(named, frozen)) if frozen else None,
        "method.weights_dtype": stored if whole else None,
        "method.adapter_dtype": None if whole else stored,
        "method.modules_to_save.dtype": unique(map(named, saved)),
    }


def named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def method(model: nn.Module) -> Values:
    """The adapters' settings, and the names of what is trained."""
    trained = sorted(plain(name) for name, item in model.named_parameters() if item.requires_grad)
    everything = sorted({plain(name) for name, _ in model.named_parameters()})
    if not hasattr(model, "peft_config"):
        return {"method.kind": "full", "method.freeze": trained, "parameters": everything}
    config = model.peft_config["default"]
    modules = {name for name, part in model.named_modules() if "default" in getattr(part, "lora_A", ())}
    return {
        "method.kind": "dora" if config.use_dora else "lora",
        "method.rank": config.r,
        "method.alpha": config.lora_alpha,
        "method.dropout": config.lora_dropout,
        "method.target_modules": sorted(plain(name) for name in modules),
        "method.modules_to_save": whole(model),
        "method.rslora": config.use_rslora,
        "method.init": "default" if config.init_lora_weights is True else config.init_lora_weights,
        "method.bias": config.bias,
        "parameters": everything,
    }


def whole(model: nn.Module) -> list[str]:
    """Modules that are trained whole beside the adapters."""
    found = {name for name, part in model.named_modules() if type(part).__name__ == "ModulesToSaveWrapper"}
    return sorted({name.rpartition(".")[2] for name in found})


def plain(name: str) -> str:
    """A parameter's name without what PEFT puts around it."""
    for added in ("base_model.model.", ".base_layer", ".default", ".modules_to_save", ".original_module"):
        name = name.replace(added, "")
    return name


def quantization(config: Any) -> Values:
    """As transformers has it in the model's own config."""
    found = getattr(config, "quantization_config", None)
    if found is None:
        return {"method.quantization": None}
    said = found if isinstance(found, dict) else found.to_dict()
    if said.get("load_in_8bit"):
        return {"method.quantization": 8}
    return {
        "method.quantization": 4,
        "method.quantization.type": said["bnb_4bit_quant_type"],
        "method.quantization.double_quant": said["bnb_4bit_use_double_quant"],
        "method.quantization.compute_dtype": str(said["bnb_4bit_compute_dtype"]).removeprefix("torch."),
    }


def recomputes(trainer: Trainer) -> bool:
    """Whether layers are recomputed. The trainer switches it on when it begins, as is done here."""
    args, model = trainer.args, trainer.model
    if args.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=args.gradient_checkpointing_kwargs)
    return any(getattr(part, "gradient_checkpointing", False) for part in model.modules())


def tokens(trainer: Trainer) -> Values:
    """Special tokens, and whether the embeddings have a row for each token."""
    tokenizer, model = trainer.processing_class, trainer.model
    rows = model.get_input_embeddings().weight.shape[0]
    return {
        "model.tokens.pad": tokenizer.pad_token,
        "model.tokens.eos": tokenizer.eos_token,
        "model.tokens.bos": tokenizer.bos_token,
        "model.tokens.add": sorted(tokenizer.get_added_vocab()),
        "model.tokens.rows": rows >= len(tokenizer),
    }
