"""The plan's `method` section: the recipe's arms with nothing left open."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from schemas.method import LoraKind
from schemas.section import Dtype

Names = tuple[str, ...]


class QuantizationPlan(Struct, frozen=True):
    """`type` and `double_quant` are None for 8 bits, which has neither."""

    bits: Literal[4, 8]
    type: Literal["nf4", "fp4"] | None
    double_quant: bool | None
    compute_dtype: Dtype


class LoraPlan(Struct, frozen=True):
    """`target_modules`: module names (all-linear, attention and the like are written out), or "re:…"."""

    kind: LoraKind
    rank: int
    alpha: int
    dropout: float
    target_modules: Names | str
    modules_to_save: Names
    rslora: bool
    init: Literal["default", "gaussian", "pissa", "olora", "loftq"]
    lora_plus_ratio: float | None
    adapter_dtype: Literal["float32", "bfloat16"]
    quantization: QuantizationPlan | None


class FullPlan(Struct, frozen=True):
    """`freeze`, `train_only`: patterns of parameter names; one of them is empty."""

    kind: Literal["full"]
    freeze: Names
    train_only: Names
    weights_dtype: Dtype


class Ia3Plan(Struct, frozen=True):
    """`feedforward_modules` are among `target_modules`; their input is scaled instead of their output."""

    kind: Literal["ia3"]
    target_modules: Names
    feedforward_modules: Names


class PrefixPlan(Struct, frozen=True):
    """Trained keys and values before each layer's own."""

    kind: Literal["prefix_tuning"]
    virtual_tokens: int
    init_text: str | None
    projection: bool


class PromptPlan(Struct, frozen=True):
    """Trained embeddings before the input."""

    kind: Literal["prompt_tuning"]
    virtual_tokens: int
    init_text: str | None


class PTuningPlan(Struct, frozen=True):
    """Trained embeddings before the input, made by a small network."""

    kind: Literal["p_tuning"]
    virtual_tokens: int
    init_text: str | None
    encoder_hidden_size: int


class AdapterPlan(Struct, frozen=True):
    """Trained layers of width `bottleneck` inside each decoder layer."""

    kind: Literal["adapter"]
    bottleneck: int
    activation: Literal["relu", "gelu", "silu", "tanh"]
    placement: Literal["houlsby", "pfeiffer"]


MethodPlan = LoraPlan | FullPlan | Ia3Plan | PrefixPlan | PromptPlan | PTuningPlan | AdapterPlan
