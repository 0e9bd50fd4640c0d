"""The arm of the recipe's `method` section for low-rank adapters: lora, qlora, dora, qdora."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.section import DTYPES, Auto, Dtype, Names, Positive, Section, Text, about

LoraKind = Literal["lora", "qlora", "dora", "qdora"]

QUANTISED: Final = ("qlora", "qdora")
"""The kinds that keep their base in few bits, and so have `quantization`."""

KIND: Final = "How the base is adapted."
CHOICE: Final = "Begin with qlora where memory is short, else with lora; `ftc plan` says what fits the card."
"""What all arms say of `kind`."""


class Quantization(Section):
    bits: Literal[4, 8] = Field(
        default=4,
        description="Bits a weight of the frozen base is kept in.",
        examples=[4],
        json_schema_extra=about(
            "4 unless the result is too far from the base's; 8 needs nearly twice the memory for weights.",
            unit="bits",
            values={"4": "The least memory; see type.", "8": "Closer to the base; bitsandbytes' int8."},
        ),
    )
    type: Literal["nf4", "fp4"] = Field(
        default="nf4",
        description="The 4-bit code.",
        examples=["nf4"],
        json_schema_extra=about(
            "Keep nf4; bits: 8 has no code to choose.",
            values={
                "nf4": "16 levels laid for normally distributed weights: what QLoRA was published with.",
                "fp4": "4-bit floating point: in QLoRA's paper a little farther from the base.",
            },
        ),
    )
    double_quant: bool = Field(
        default=True,
        description="Whether the scales of 4-bit blocks are quantised too.",
        examples=[True],
        json_schema_extra=about(
            "Keep it: it saves about 0.4 bits a weight at next to no cost; bits: 8 does not have it.",
            values={"true": "Scales in 8 bit.", "false": "Scales in 32 bit."},
        ),
    )
    compute_dtype: Auto | Dtype = Field(
        default="auto",
        description="The type that weights are expanded to for a product.",
        examples=["bfloat16"],
        json_schema_extra=about(
            "Leave it to auto; with bits: 8 it is always model.dtype.",
            values={**DTYPES, "auto": "model.dtype."},
        ),
    )


class LoraMethod(Section):
    kind: LoraKind = Field(
        description=KIND,
        examples=["qlora"],
        json_schema_extra=about(
            CHOICE,
            values={
                "lora": "Two small matrices beside each module, the base frozen in 16 bit: the usual choice.",
                "qlora": "LoRA on a base kept in 4 bit: weights take a third of the memory, a little slower.",
                "dora": "LoRA with the length of each column learnt apart: sometimes better at low rank, slower.",
                "qdora": "DoRA on a base kept in 4 bit.",
            },
        ),
    )
    rank: Positive = Field(
        default=16,
        description="The inner dimension of the update matrices.",
        examples=[8, 16, 64],
        json_schema_extra=about(
            "8 to 16 for style and form, 32 to 128 where there is more to learn; memory for adapters grows with it.",
            unit="dimensions",
        ),
    )
    alpha: Auto | Positive = Field(
        default="auto",
        description="The update is scaled by alpha / rank.",
        examples=["auto", 32],
        json_schema_extra=about(
            "Leave it to auto, so that it follows the rank.", unit="plain number", values={"auto": "2 x rank."}
        ),
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="The share of the adapter's inputs set to zero in training.",
        examples=[0.05],
        json_schema_extra=about(
            "0 is fastest; 0.05 to 0.1 where few rows are learnt by heart.", unit="share of the inputs"
        ),
    )
    target_modules: Text | Names = Field(
        default="all-linear",
        description="The modules that get an adapter: a word, names, or a regular expression after re:",
        examples=["all-linear", ["q_proj", "v_proj"], "re:.*layers\\.[0-7]\\..*_proj"],
        json_schema_extra=about(
            "all-linear learns most for the memory; a name that the model does not have is an error here.",
            values={
                "all-linear": "Every linear module of the layers; not experts that are fused into one parameter.",
                "attention": "Queries, keys, values and output of attention.",
                "mlp": "The feed-forward modules.",
                "experts": "The experts of a Mixture-of-Experts model.",
            },
        ),
    )
    modules_to_save: Names = Field(
        default=(),
        description="Modules trained whole beside the adapters.",
        examples=[["lm_head"]],
        json_schema_extra=about(
            "For new tokens model.tokens.add is enough; vLLM serves such an adapter only merged (output.merge)."
        ),
    )
    rslora: bool = Field(
        default=False,
        description="Scale by alpha / sqrt(rank) instead of alpha / rank.",
        examples=[True],
        json_schema_extra=about(
            "For ranks of 64 and more, whose updates alpha / rank makes small; lower alpha with it.",
            values={"true": "alpha / sqrt(rank).", "false": "alpha / rank."},
        ),
    )
    init: Literal["default", "gaussian", "pissa", "olora", "loftq"] = Field(
        default="default",
        description="How the update matrices start.",
        examples=["default"],
        json_schema_extra=about(
            "Keep default; the others change what the adapter is an update of, or take long to start.",
            values={
                "default": "A at random, B zero: the model starts as the base.",
                "gaussian": "As default, A drawn from a normal distribution.",
                "pissa": "The base's largest singular vectors; lora and dora only.",
                "olora": "An orthogonal basis from the base's weights; lora and dora only.",
                "loftq": "Makes up for the error of the quantised base; qlora and qdora with 4 bits only.",
            },
        ),
    )
    lora_plus_ratio: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="LoRA+: the learning rate of B over that of A.",
        examples=[16.0],
        json_schema_extra=about(
            "16 is its paper's; lower the learning rate with it.",
            unit="plain number",
            values={"null": "Both learn at the same rate."},
        ),
    )
    adapter_dtype: Auto | Literal["float32", "bfloat16"] = Field(
        default="auto",
        description="The type of the adapter's weights.",
        examples=["float32"],
        json_schema_extra=about(
            "Leave it to auto: adapters are small, and small updates are lost in 16 bit.",
            values={
                "auto": "float32.",
                "float32": "Small updates are kept.",
                "bfloat16": "Half the memory for adapters and their optimizer state; not beside a float16 base.",
            },
        ),
    )
    quantization: Quantization | None = Field(
        default=None,
        description="How the frozen base is kept.",
        examples=[{"bits": 4, "type": "nf4"}],
        json_schema_extra=about("The defaults are those that QLoRA was published with.", kinds=QUANTISED),
    )
