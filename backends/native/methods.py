# pyright: basic
# Strict typing stops at transformers and peft, whose classes are made at run time.
"""What is trained of the base: all of it, some of it, or what a method puts on it.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from itertools import cycle, islice
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from peft.helpers import disable_input_dtype_casting
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer

from backends.native.bottlenecks import add_bottlenecks
from backends.native.model import ModelError, Plan
from backends.native.spread import ZERO
from backends.native.vocabulary import settle, trained_rows

LORA_KINDS = ("lora", "qlora", "dora", "qdora")
TASK = "CAUSAL_LM"
MORE, ROUNDS = 16, 8
"""Singular vectors beyond those that are wanted, and rounds, by which the first ones become exact to some digits."""


def choose_trained(base: Any, plan: Plan, tokenizer: Any = None, whole: Callable[[], Any] | None = None) -> Any:
    """The model with exactly what the method trains set to be trained.

    `tokenizer`: for `method.init_text`; `whole`: the base without quantisation, for LoftQ. Without them matrices start
    as they always do. Raises `ModelError` where the base has not what the method names.
    """
    method = plan["method"]
    if method["kind"] == "full":
        _freeze(base, method["freeze"], method["train_only"])
        return base
    base.requires_grad_(False)
    if method["kind"] == "adapter":
        return add_bottlenecks(base, method["bottleneck"], method["activation"], method["placement"])
    try:
        model = get_peft_model(base, _config(base, plan, tokenizer))
    except ValueError as error:
        raise ModelError(f"the adapters of this method cannot be made: {error}") from error
    if plan["model"]["tokens"]["add"]:
        settle(model)
    if method["kind"] in LORA_KINDS:
        if method["init"] == "loftq" and whole:
            _start_from_error(model, whole())
        set_adapter_dtype(model, plan)
    elif tokenizer and method.get("init_text"):
        _start_from_text(model, method, tokenizer)
    return model


def _config(base: Any, plan: Plan, tokenizer: Any) -> PeftConfig:
    method = plan["method"]
    kind = method["kind"]
    if kind in LORA_KINDS:
        return _lora(base, method, trained_rows(base, plan, tokenizer))
    if kind == "ia3":
        modules, _ = _targets(base, method["target_modules"])
        told = {"target_modules": modules, "exclude_modules": _beside_text(base)}
        return IA3Config(task_type=TASK, feedforward_modules=list(method["feedforward_modules"]), **told)
    virtual = {"task_type": TASK, "num_virtual_tokens": method["virtual_tokens"]}
    if kind == "prefix_tuning":
        width = base.config.get_text_config().hidden_size
        return PrefixTuningConfig(**virtual, prefix_projection=method["projection"], encoder_hidden_size=width)
    if kind == "p_tuning":
        return PromptEncoderConfig(**virtual, encoder_hidden_size=method["encoder_hidden_size"])
    return PromptTuningConfig(**virtual)


def _lora(base: Any, method: dict[str, Any], rows: dict[str, list[int]] | None) -> LoraConfig:
    modules, parameters = _targets(base, method["target_modules"])
    return LoraConfig(
        task_type=TASK,
        r=method["rank"],
        lora_alpha=method["alpha"],
        lora_dropout=method["dropout"],
        target_modules=modules,
        target_parameters=parameters or None,
        exclude_modules=_beside_text(base),
        modules_to_save=method["modules_to_save"] or None,
        trainable_token_indices=rows,
        use_rslora=method["rslora"],
        use_dora=method["kind"] in ("dora", "qdora"),
        init_lora_weights=True if method["init"] in ("default", "loftq") else method["init"],
    )


def _start_from_error(model: PeftModel, whole: Any) -> None:
    """The adapters as near as they come to what the base has lost by quantisation (LoftQ, Li et al. 2023,
    arXiv:2310.08659, one step): the first singular vectors of the difference."""
    weights = {name: module.weight for name, module in whole.named_modules() if isinstance(module, torch.nn.Linear)}
    base: Any = model.get_base_model()
    for name, layer in base.named_modules():
        if isinstance(layer, LoraLayer) and name in weights:
            kept: Any = layer.get_base_layer().weight
            if not hasattr(kept, "quant_state"):
                continue  # as the head, of which nothing was lost
            there = dequantize_4bit(kept.data, kept.quant_state).float()
            lost = weights[name].to(there.device, torch.float32) - there
            for adapter, rank in layer.r.items():
                left, sizes, right = torch.svd_lowrank(lost, q=min(*lost.shape, rank + MORE), niter=ROUNDS)
                roots = sizes[:rank].sqrt()
                layer.lora_A[adapter].weight.data = roots[:, None] * right[:, :rank].T
                layer.lora_B[adapter].weight.data = left[:, :rank] * roots / layer.scaling[adapter]


def _start_from_text(model: PeftModel, method: dict[str, Any], tokenizer: Any) -> None:
    """The virtual tokens as those of the text, repeated or cut to their number: their embeddings, or the keys and
    values that the base makes of them."""
    ids = tokenizer(method["init_text"], add_special_tokens=False)["input_ids"]
    if not ids:
        raise ModelError("method.init_text has no tokens")
    base: Any = model.get_base_model()
    wanted = torch.tensor([list(islice(cycle(ids), method["virtual_tokens"]))], device=base.device)
    with torch.no_grad():
        if method["kind"] == "prompt_tuning":
            start = base.get_input_embeddings()(wanted)[0]
        else:
            cache = base(input_ids=wanted, use_cache=True).past_key_values
            pairs = [half for layer in cache.layers for half in (layer.keys, layer.values)]
            start = torch.cat(pairs).permute(2, 0, 1, 3).flatten(1)
    encoder: Any = model.prompt_encoder
    encoder[model.active_adapter].embedding.weight.data.copy_(start)


def set_adapter_dtype(model: Any, plan: Plan) -> None:
    """Adapters and rows of new tokens in `method.adapter_dtype`; other trained weights as they are, but never float16,
    which cannot learn."""
    by_deepspeed = plan["hardware"]["strategy"] in ZERO  # it keeps float32 ones, and computes with one type
    wanted = getattr(torch, plan["model"]["dtype"] if by_deepspeed else plan["method"]["adapter_dtype"])
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and ("lora_" in name or "trainable_tokens" in name):
            parameter.data = parameter.data.to(wanted)
        elif parameter.requires_grad and parameter.dtype == torch.float16 and not by_deepspeed:
            parameter.data = parameter.data.float()


def inputs_as_they_are(model: Any, *, active: bool) -> AbstractContextManager[None]:
    """Under autocast an adapter need not cast its input to float32, which would keep a copy of it. Adapters other than
    LoRA's have no such switch."""
    switch = all(
        hasattr(item, "cast_input_dtype_enabled") for item in model.modules() if isinstance(item, BaseTunerLayer)
    )
    return disable_input_dtype_casting(model, active=active and switch)


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


def _other_parts(base: Any) -> list[str]:
    """Modules that stand beside decoder and head, as the eyes of a multimodal model: no text goes through them."""
    parts = (base.get_decoder(), base.get_output_embeddings())
    text = {id(item) for part in parts if part is not None for item in part.parameters()}
    found: list[str] = []
    for name, module in base.named_modules():
        own = {id(item) for item in module.parameters()}
        if name and own and not own & text and not any(name.startswith(f"{other}.") for other in found):
            found.append(name)
    return found


def _beside_text(base: Any) -> str | None:
    """Where PEFT puts no adapters, though names of the language model's own modules occur there too."""
    names = [re.escape(name) for name in _other_parts(base)]
    return rf"({'|'.join(names)})(\..*)?" if names else None


def _ends(names: set[str], name: str) -> bool:
    return any(full == name or full.endswith(f".{name}") for full in names)


def _freeze(model: Any, freeze: list[str], train_only: list[str]) -> None:
    """Train all parameters but those that match `freeze`, or only those that match `train_only`."""
    for name, parameter in model.named_parameters():
        trained = any(fnmatchcase(name, item) for item in train_only) if train_only else True
        parameter.requires_grad_(trained and not any(fnmatchcase(name, item) for item in freeze))
    for name in _other_parts(model):  # what has no gradient would be waited for by several processes
        model.get_submodule(name).requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError("no parameter is left to train: look at method.freeze and method.train_only")
