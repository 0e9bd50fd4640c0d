"""The recipe's `method` section: one arm for each way of adapting a base."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.lora import CHOICE, KIND, LoraKind, LoraMethod, Quantization
from schemas.section import Auto, Names, Positive, Section, Text, about

__all__ = [
    "AdapterMethod",
    "FullMethod",
    "HostedMethod",
    "Ia3Method",
    "LoraKind",
    "LoraMethod",
    "Method",
    "PTuningMethod",
    "PrefixMethod",
    "PromptMethod",
    "Quantization",
]

_INIT_TEXT: Final = "Text whose embeddings the virtual tokens start from."
_START: Final = "A sentence that says the task; it is repeated or cut to the number of virtual tokens."


class FullMethod(Section):
    kind: Literal["full"] = Field(
        description=KIND,
        examples=["full"],
        json_schema_extra=about(
            CHOICE,
            values={"full": "Every weight is trained: the most memory; for much data, or small models."},
        ),
    )
    freeze: Names = Field(
        default=(),
        description="Patterns of parameter names left untrained.",
        examples=[["model.embed_tokens*"]],
        json_schema_extra=about("Patterns are of whole names, with * for any part; not together with train_only."),
    )
    train_only: Names = Field(
        default=(),
        description="Patterns of parameter names trained, all else frozen.",
        examples=[["model.layers.3[01].*"]],
        json_schema_extra=about("The last layers alone need far less memory; not together with freeze."),
    )
    weights_dtype: Auto | Literal["model", "float32"] = Field(
        default="auto",
        description="Type of trained weights, gradients and optimizer state.",
        examples=["float32"],
        json_schema_extra=about(
            "float32 keeps small updates, at twice the memory of 16 bit.",
            values={
                "auto": "float32 for a float16 model, else the model's own.",
                "model": "As model.dtype; not with float16, which loses small updates.",
                "float32": "32 bit, computed in model.dtype.",
            },
        ),
    )


class Ia3Method(Section):
    kind: Literal["ia3"] = Field(
        description=KIND,
        examples=["ia3"],
        json_schema_extra=about(
            CHOICE,
            values={"ia3": "Vectors that scale keys, values and the mlp: hardly any weights; for small changes."},
        ),
    )
    target_modules: Auto | Names = Field(
        default="auto",
        description="Modules that are scaled.",
        examples=["auto", ["k_proj", "v_proj", "down_proj"]],
        json_schema_extra=about(
            "Leave it to auto, which is the paper's choice.", values={"auto": "Keys, values and the last mlp matrix."}
        ),
    )
    feedforward_modules: Auto | Names = Field(
        default="auto",
        description="Those of the target modules whose input is scaled instead of their output.",
        examples=["auto", ["down_proj"]],
        json_schema_extra=about(
            "Each must be among target_modules.",
            values={"auto": "The last mlp matrix, where it is a target."},
        ),
    )


class PrefixMethod(Section):
    kind: Literal["prefix_tuning"] = Field(
        description=KIND,
        examples=["prefix_tuning"],
        json_schema_extra=about(
            CHOICE,
            values={"prefix_tuning": "Trained keys and values before each layer's input; many tasks on one base."},
        ),
    )
    virtual_tokens: Positive = Field(
        default=20,
        description="Trained positions before the input.",
        examples=[20],
        json_schema_extra=about("10 to 100; each takes a place of every row's length.", unit="tokens"),
    )
    init_text: Text | None = Field(
        default=None,
        description=_INIT_TEXT,
        examples=["Answer briefly."],
        json_schema_extra=about(_START, values={"null": "They start at random."}),
    )
    projection: bool = Field(
        default=False,
        description="Train the prefix through a two-layer network.",
        examples=[True],
        json_schema_extra=about(
            "Steadier to train, with more weights while training.",
            values={
                "true": "A network makes the prefix, and starts at random.",
                "false": "The prefix itself is trained.",
            },
        ),
    )


class PromptMethod(Section):
    kind: Literal["prompt_tuning"] = Field(
        description=KIND,
        examples=["prompt_tuning"],
        json_schema_extra=about(
            CHOICE,
            values={"prompt_tuning": "Trained embeddings before the input: the fewest weights; for large bases."},
        ),
    )
    virtual_tokens: Positive = Field(
        default=20,
        description="Trained positions before the input.",
        examples=[20],
        json_schema_extra=about("10 to 100; each takes a place of every row's length.", unit="tokens"),
    )
    init_text: Text | None = Field(
        default=None,
        description=_INIT_TEXT,
        examples=["Answer briefly."],
        json_schema_extra=about(_START, values={"null": "They start at random."}),
    )


class PTuningMethod(Section):
    kind: Literal["p_tuning"] = Field(
        description=KIND,
        examples=["p_tuning"],
        json_schema_extra=about(
            CHOICE,
            values={"p_tuning": "As prompt_tuning, the embeddings made by a small trained network."},
        ),
    )
    virtual_tokens: Positive = Field(
        default=20,
        description="Trained positions before the input.",
        examples=[20],
        json_schema_extra=about("10 to 100; each takes a place of every row's length.", unit="tokens"),
    )
    init_text: Text | None = Field(
        default=None,
        description=_INIT_TEXT,
        examples=["Answer briefly."],
        json_schema_extra=about(
            "No target takes it: a network makes the virtual tokens.", values={"null": "The network starts at random."}
        ),
    )
    encoder_hidden_size: Positive = Field(
        default=128,
        description="Width of the network that makes the virtual tokens.",
        examples=[128],
        json_schema_extra=about("Wider learns faster, with more weights while training.", unit="dimensions"),
    )


class AdapterMethod(Section):
    kind: Literal["adapter"] = Field(
        description=KIND,
        examples=["adapter"],
        json_schema_extra=about(
            CHOICE,
            values={"adapter": "Small layers inserted between the base's; cannot be merged, so slower to serve."},
        ),
    )
    bottleneck: Positive = Field(
        default=64,
        description="Width of the inserted layers.",
        examples=[64],
        json_schema_extra=about("16 to 256, as the rank of LoRA.", unit="dimensions"),
    )
    activation: Literal["relu", "gelu", "silu", "tanh"] = Field(
        default="relu",
        description="The function between the two inserted matrices.",
        examples=["relu"],
        json_schema_extra=about(
            "It matters little.",
            values={
                "relu": "As in the first papers.",
                "gelu": "A smooth relu, as in GPT-2.",
                "silu": "As in Llama's mlp.",
                "tanh": "Bounded.",
            },
        ),
    )
    placement: Literal["houlsby", "pfeiffer"] = Field(
        default="pfeiffer",
        description="Where layers are inserted.",
        examples=["pfeiffer"],
        json_schema_extra=about(
            "pfeiffer has half the weights and nearly the same result.",
            values={"houlsby": "After attention and after the mlp.", "pfeiffer": "After the mlp."},
        ),
    )


class HostedMethod(Section):
    kind: Literal["hosted"] = Field(
        description=KIND,
        examples=["hosted"],
        json_schema_extra=about(
            CHOICE,
            values={"hosted": "The provider trains, and decides what of the model; for openai and bedrock alone."},
        ),
    )
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0)] = Field(
        default="auto",
        description="The provider's own learning rate, times this.",
        examples=["auto", 0.5],
        json_schema_extra=about(
            "Leave it to auto; halve it where the validation loss rises early.",
            unit="times the provider's learning rate",
            values={"auto": "The provider decides."},
        ),
    )


Method = Annotated[
    LoraMethod | FullMethod | Ia3Method | PrefixMethod | PromptMethod | PTuningMethod | AdapterMethod | HostedMethod,
    Field(discriminator="kind"),
]
