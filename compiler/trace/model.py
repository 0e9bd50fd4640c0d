# pyright: basic, reportPrivateImportUsage=false
# Strict typing stops at transformers and peft, whose classes are made at run time.
"""The plan's model on fake tensors: the real class of transformers, the real PEFT configuration, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations.neftune import activate_neftune
from transformers.pytorch_utils import Conv1D

from backends.native.attention import DOCUMENTS, register
from backends.native.bottlenecks import BottleneckError
from backends.native.methods import choose_trained
from backends.native.model import ATTENTION, ModelError
from compiler.memory.stacks import Profile
from compiler.memory.verdict import assumed_layout
from compiler.trace.untraceable import UntraceableError
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan

LINEAR: Final = (torch.nn.Linear, Conv1D)


def build_model(plan: Plan, stack: Profile, config: Mapping[str, object]) -> Any:
    """The model as this stack has it when training starts. To be called where tensors are fake."""
    base = _base(plan, config, _attention(plan, stack))
    if plan.quantization is not None:
        from compiler.trace.quantised import quantise

        base.requires_grad_(False)
        quantise(base, plan.quantization)
        base.is_loaded_in_4bit = plan.quantization.bits == 4
        base.is_loaded_in_8bit = plan.quantization.bits == 8
        if stack.upcast == "always":
            _prepare(base)
    model = _with_method(base, plan)
    if plan.training.gradient_checkpointing is not False:
        _recompute(model, plan)
    if plan.training.neftune_alpha is not None:
        activate_neftune(model, plan.training.neftune_alpha)
    return model.train()


def bare_model(model: Any) -> Any:
    """The model of transformers, without what PEFT puts around it."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def _attention(plan: Plan, stack: Profile) -> str:
    """What transformers calls the plan's attention as this stack has it."""
    if plan.data.packing and plan.model.attention == "sdpa" and stack.packed == "documents":
        register()
        return DOCUMENTS
    return ATTENTION[plan.model.attention]


def _base(plan: Plan, config: Mapping[str, object], attention: str) -> Any:
    values = {key: value for key, value in config.items() if key not in ("quantization_config", "torch_dtype", "dtype")}
    family = str(values.pop("model_type"))
    method = plan.method
    dtype = method.weights_dtype if isinstance(method, FullPlan) else plan.model.dtype
    try:
        parsed = AutoConfig.for_model(family, **values)
        parsed = parsed.get_text_config()
        return AutoModelForCausalLM.from_config(parsed, dtype=getattr(torch, dtype), attn_implementation=attention)
    except Exception as error:  # a model class may object to its config.json in any way
        raise UntraceableError(f"transformers cannot build a {family} model from this config.json: {error}") from error


def _prepare(base: Any) -> None:
    """peft.prepare_model_for_kbit_training: every 16-bit parameter becomes float32. Its own code says `param.data =`,
    which fake tensors refuse."""
    tied = base.get_output_embeddings().weight is base.get_input_embeddings().weight
    for module in base.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.dtype in (torch.float16, torch.bfloat16):
                module._parameters[name] = torch.nn.Parameter(parameter.detach().float(), requires_grad=False)
    if tied:
        base.get_output_embeddings().weight = base.get_input_embeddings().weight


def _with_method(base: Any, plan: Plan) -> Any:
    """What is trained, by the native run's own code."""
    try:
        return choose_trained(base, _as_native(plan, base))
    except (ModelError, BottleneckError) as error:
        raise UntraceableError(str(error)) from error


def _as_native(plan: Plan, base: Any) -> dict[str, Any]:
    from compiler.lock import plan_data

    data: Any = plan_data(plan)
    if data["method"].get("init") in ("pissa", "olora", "loftq"):
        data["method"]["init"] = "default"  # another content of the same matrices
    if isinstance(plan.method, LoraPlan) and assumed_layout(plan):
        data["method"]["target_modules"] = _present(base, plan.method.target_modules)
    return data


def _present(base: Any, wanted: tuple[str, ...] | str) -> list[str] | str:
    """The modules that carry adapters. Where the model's layout is assumed, a default may name what it does not have:
    then all its linear layers do."""
    if isinstance(wanted, str):
        return wanted
    named = [f".{name}" for items in (base.named_modules(), base.named_parameters()) for name, _ in items]
    if all(any(name.endswith(f".{item}") for name in named) for item in wanted):
        return list(wanted)
    head = base.get_output_embeddings()
    linear = (name for name, module in base.named_modules() if isinstance(module, LINEAR) and module is not head)
    return sorted({name.rpartition(".")[2] for name in linear})


def _recompute(model: Any, plan: Plan) -> None:
    """As transformers' Trainer and TRL turn checkpointing on."""
    kind = plan.training.gradient_checkpointing
    if kind == "selective":
        from trl.models import enable_selective_activation_checkpointing

        enable_selective_activation_checkpointing(model)
    reentrant = plan.quantization is not None and plan.quantization.bits == 8 and kind != "selective"
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    if not isinstance(plan.method, FullPlan):
        model.enable_input_require_grads()
