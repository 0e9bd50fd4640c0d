"""The recipe's `method` section: one arm for each way of adapting a base."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.section import Auto, Dtype, Names, Positive, Section, Text

LoraKind = Literal["lora", "qlora", "dora", "qdora"]


class Quantization(Section):
    bits: Literal[4, 8] = Field(default=4, description="Bits a weight of the frozen base is kept in.")
    type: Literal["nf4", "fp4"] = Field(default="nf4", description="The 4-bit code.")
    double_quant: bool = Field(default=True, description="Whether the scales of 4-bit blocks are quantised too.")
    compute_dtype: Auto | Dtype = Field(
        default="auto", description="The type that weights are expanded to for a product; auto: model.dtype."
    )


class LoraMethod(Section):
    kind: LoraKind = Field(description="How the base is adapted.")
    rank: Positive = Field(default=16, description="The inner dimension of the update matrices.", examples=[8, 16, 64])
    alpha: Auto | Positive = Field(
        default="auto", description="The update is scaled by alpha / rank; auto: 2 x rank.", examples=[32]
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="The share of the adapter's inputs set to zero in training.", examples=[0.05]
    )
    target_modules: Text | Names = Field(
        default="all-linear",
        description="all-linear, attention, mlp, experts, module names, or a regular expression after re:",
        examples=["all-linear", ["q_proj", "v_proj"], "re:.*layers\\.[0-7]\\..*_proj"],
    )
    modules_to_save: Names = Field(
        default=(), description="Modules trained whole beside the adapters.", examples=[["lm_head"]]
    )
    rslora: bool = Field(default=False, description="Scale by alpha / sqrt(rank) instead of alpha / rank.")
    init: Literal["default", "gaussian", "pissa", "olora", "loftq"] = Field(
        default="default", description="How the update matrices start."
    )
    lora_plus_ratio: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="LoRA+: the learning rate of B over that of A.", examples=[16.0]
    )
    adapter_dtype: Auto | Literal["float32", "bfloat16"] = Field(
        default="auto", description="The type of the adapter's weights."
    )
    quantization: Quantization | None = Field(default=None, description="qlora, qdora: how the frozen base is kept.")


class FullMethod(Section):
    kind: Literal["full"] = Field(description="How the base is adapted.")
    freeze: Names = Field(
        default=(), description="Patterns of parameter names left untrained.", examples=[["model.embed_tokens*"]]
    )
    train_only: Names = Field(
        default=(),
        description="Patterns of parameter names trained, all else frozen.",
        examples=[["model.layers.3[01].*"]],
    )
    weights_dtype: Auto | Literal["model", "float32"] = Field(
        default="auto",
        description="Type of trained weights, gradients and optimizer; auto: float32 for float16, else the model's.",
    )


class Ia3Method(Section):
    kind: Literal["ia3"] = Field(description="How the base is adapted.")
    target_modules: Auto | Names = Field(
        default="auto",
        description="Modules whose output is scaled; auto: keys, values and the last mlp matrix.",
        examples=[["k_proj", "v_proj", "down_proj"]],
    )
    feedforward_modules: Auto | Names = Field(
        default="auto",
        description="Those of the target modules whose input is scaled instead.",
        examples=[["down_proj"]],
    )


class PrefixMethod(Section):
    kind: Literal["prefix_tuning"] = Field(description="How the base is adapted.")
    virtual_tokens: Positive = Field(default=20, description="Trained positions before the input.", examples=[20])
    init_text: Text | None = Field(default=None, description="Text whose embeddings the virtual tokens start from.")
    projection: bool = Field(default=False, description="Train the prefix through a two-layer network.")


class PromptMethod(Section):
    kind: Literal["prompt_tuning"] = Field(description="How the base is adapted.")
    virtual_tokens: Positive = Field(default=20, description="Trained positions before the input.", examples=[20])
    init_text: Text | None = Field(
        default=None, description="Text whose embeddings the virtual tokens start from.", examples=["Answer briefly."]
    )


class PTuningMethod(Section):
    kind: Literal["p_tuning"] = Field(description="How the base is adapted.")
    virtual_tokens: Positive = Field(default=20, description="Trained positions before the input.", examples=[20])
    init_text: Text | None = Field(default=None, description="Text whose embeddings the virtual tokens start from.")
    encoder_hidden_size: Positive = Field(
        default=128, description="Width of the network that makes the virtual tokens.", examples=[128]
    )


class AdapterMethod(Section):
    kind: Literal["adapter"] = Field(description="How the base is adapted.")
    bottleneck: Positive = Field(default=64, description="Width of the inserted layers.", examples=[64])
    activation: Literal["relu", "gelu", "silu", "tanh"] = Field(
        default="relu", description="The function between the two inserted matrices."
    )
    placement: Literal["houlsby", "pfeiffer"] = Field(
        default="pfeiffer", description="houlsby: after attention and mlp; pfeiffer: after the mlp."
    )


Method = Annotated[
    LoraMethod | FullMethod | Ia3Method | PrefixMethod | PromptMethod | PTuningMethod | AdapterMethod,
    Field(discriminator="kind"),
]
