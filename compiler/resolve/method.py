"""The plan's `method` section."""

from __future__ import annotations

from typing import Literal

from compiler.resolve.ground import Ground
from schemas.facts import Linear, ModelFacts
from schemas.method import (
    AdapterMethod,
    FullMethod,
    HostedMethod,
    Ia3Method,
    LoraMethod,
    PrefixMethod,
    PromptMethod,
    PTuningMethod,
    Quantization,
)
from schemas.method_plan import (
    AdapterPlan,
    FullPlan,
    Ia3Plan,
    LoraPlan,
    MethodPlan,
    PrefixPlan,
    PromptPlan,
    PTuningPlan,
    QuantizationPlan,
)
from schemas.section import Dtype

AdapterDtype = Literal["float32", "bfloat16"]

WORDS = ("all-linear", "attention", "mlp", "experts")
"""The words of `target_modules` that stand for groups of modules."""


def method_plan(ground: Ground, dtype: Dtype) -> MethodPlan:
    """The arm of the recipe, with nothing left open."""
    method = ground.recipe.method
    if isinstance(method, LoraMethod):
        return _lora(ground, method, dtype)
    if isinstance(method, FullMethod):
        return FullPlan(method.kind, method.freeze, method.train_only, _weights_dtype(ground, method, dtype))
    if isinstance(method, Ia3Method):
        return _ia3(ground, method)
    if isinstance(method, AdapterMethod):
        return AdapterPlan(method.kind, method.bottleneck, method.activation, method.placement)
    if isinstance(method, HostedMethod):  # `compile_recipe` sends such recipes to compiler/hosted
        raise TypeError("a model that its provider trains has no plan for a trainer")
    return _virtual_tokens(method)


def _virtual_tokens(method: PrefixMethod | PromptMethod | PTuningMethod) -> MethodPlan:
    if isinstance(method, PrefixMethod):
        return PrefixPlan(method.kind, method.virtual_tokens, method.init_text, method.projection)
    if isinstance(method, PromptMethod):
        return PromptPlan(method.kind, method.virtual_tokens, method.init_text)
    return PTuningPlan(method.kind, method.virtual_tokens, method.init_text, method.encoder_hidden_size)


def _lora(ground: Ground, method: LoraMethod, dtype: Dtype) -> LoraPlan:
    return LoraPlan(
        kind=method.kind,
        rank=method.rank,
        alpha=_alpha(ground, method),
        dropout=method.dropout,
        target_modules=_target_modules(ground, method),
        modules_to_save=method.modules_to_save,
        rslora=method.rslora,
        init=method.init,
        lora_plus_ratio=method.lora_plus_ratio,
        adapter_dtype=_adapter_dtype(ground, method),
        quantization=_quantization(ground, method, dtype),
    )


def _alpha(ground: Ground, method: LoraMethod) -> int:
    if method.alpha != "auto":
        return method.alpha
    return ground.decide("method.alpha", 2 * method.rank, "twice the rank")


def _adapter_dtype(ground: Ground, method: LoraMethod) -> AdapterDtype:
    if method.adapter_dtype != "auto":
        return method.adapter_dtype
    dtype: AdapterDtype = "float32"
    because = "small updates are lost in 16 bit, and adapters are small"
    return ground.leave_open("method.adapter_dtype", dtype, because)


def _target_modules(ground: Ground, method: LoraMethod) -> tuple[str, ...] | str:
    asked = method.target_modules
    if isinstance(asked, str) and asked not in WORDS:
        return asked if asked.startswith("re:") else (asked,)
    words = (asked,) if isinstance(asked, str) else asked
    modules = expand_words(words, ground.facts)
    if modules != words:
        ground.decide("method.target_modules", modules, f"{', '.join(words)} of {ground.facts.family}")
    return modules


def expand_words(words: tuple[str, ...], facts: ModelFacts) -> tuple[str, ...]:
    """Words for groups of modules written out, in the model's order, each once; names stay as they are."""
    named = [name for word in words for name in (_group(word, facts) if word in WORDS else (word,))]
    return tuple(dict.fromkeys(named))


def _group(word: str, facts: ModelFacts) -> tuple[str, ...]:
    return tuple(linear.name for linear in facts.linears if _in_group(word, linear))


def _in_group(word: str, linear: Linear) -> bool:
    """`all-linear` is what PEFT means by it: every nn.Linear, so not experts that are fused into a parameter."""
    return not linear.fused if word == "all-linear" else linear.room == word


def _quantization(ground: Ground, method: LoraMethod, dtype: Dtype) -> QuantizationPlan | None:
    if method.kind not in ("qlora", "qdora"):
        return None
    asked = method.quantization or Quantization()
    compute = asked.compute_dtype if asked.compute_dtype != "auto" else _compute_dtype(ground, dtype)
    four = asked.bits == 4
    return QuantizationPlan(asked.bits, asked.type if four else None, asked.double_quant if four else None, compute)


def _compute_dtype(ground: Ground, dtype: Dtype) -> Dtype:
    return ground.decide("method.quantization.compute_dtype", dtype, "the type of the model's other weights")


def _weights_dtype(ground: Ground, method: FullMethod, dtype: Dtype) -> Dtype:
    if method.weights_dtype != "auto":
        return dtype if method.weights_dtype == "model" else method.weights_dtype
    if dtype == "float16":
        return ground.decide("method.weights_dtype", "float32", "float16 gradients underflow without float32 weights")
    return ground.decide("method.weights_dtype", dtype, "the model's own type")


def _ia3(ground: Ground, method: Ia3Method) -> Ia3Plan:
    """Keys, values and the last mlp matrix, as the paper has it; the mlp's input is scaled instead of its output."""
    targets, feedforward = method.target_modules, method.feedforward_modules
    last = tuple(name for name in ("down_proj",) if name in ground.facts.modules)
    if targets == "auto":
        keys = tuple(name for name in ("k_proj", "v_proj", "qkv_proj") if name in ground.facts.modules)
        targets = ground.decide("method.target_modules", keys + last, "keys, values and the last mlp matrix")
    if feedforward == "auto":
        inside = tuple(name for name in last if name in targets)
        feedforward = ground.decide("method.feedforward_modules", inside, "the last mlp matrix")
    return Ia3Plan(method.kind, targets, feedforward)
