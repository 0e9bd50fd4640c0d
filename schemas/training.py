"""The recipe's `training` section: what is optimised, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.section import Auto, Positive, Section

Objective = Literal["sft", "pretrain", "dpo", "orpo", "kto"]
Scheduler = Literal["cosine", "linear", "constant", "polynomial"]
Optimizer = Literal[
    "adamw",
    "adamw_8bit",
    "adamw_4bit",
    "paged_adamw_8bit",
    "paged_adamw",
    "adafactor",
    "lion_8bit",
    "sgd",
    "muon",
]
Checkpointing = Literal["selective", "offload"] | bool
Loss = Literal["full", "chunked"]
Kernels = Literal["none", "liger"]


class Preference(Section):
    beta: Annotated[float, Field(gt=0)] = Field(
        default=0.1, description="How far the model may move from its start.", examples=[0.1]
    )
    loss: Literal["sigmoid", "ipo", "hinge"] = Field(default="sigmoid", description="dpo: the loss over preferences.")


class Training(Section):
    objective: Objective = Field(default="sft", description="What is optimised.")
    epochs: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="Passes over the training data.", examples=[1, 3]
    )
    max_steps: Positive | None = Field(default=None, description="Optimizer steps, instead of epochs.", examples=[1000])
    global_batch_size: Positive = Field(
        default=16, description="Rows an optimizer step sees over all devices.", examples=[16, 64]
    )
    micro_batch_size: Auto | Positive = Field(
        default="auto", description="Rows per device and forward pass.", examples=[4]
    )
    learning_rate: Auto | Annotated[float, Field(gt=0)] = Field(
        default="auto", description="The highest learning rate; auto: by method and objective.", examples=[2.0e-4]
    )
    scheduler: Scheduler = Field(default="cosine", description="How the learning rate falls.")
    min_lr_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="cosine, polynomial: end at this fraction of the learning rate.", examples=[0.1]
    )
    warmup: Positive | Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="A float in [0, 1): that share of the steps; an integer: steps.", examples=[0.1, 100]
    )
    optimizer: Optimizer = Field(default="adamw", description="The optimizer, by what it does.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Decoupled weight decay.", examples=[0.01]
    )
    betas: (
        Auto
        | Annotated[
            tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]],
            Field(strict=False),
        ]
    ) = Field(default="auto", description="Decay of the optimizer's running means.", examples=[[0.9, 0.95]])
    epsilon: Auto | Annotated[float, Field(gt=0)] = Field(
        default="auto", description="The optimizer's guard against division by zero.", examples=[1.0e-8]
    )
    max_grad_norm: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="Gradients are scaled down to this norm; 0: never.", examples=[1.0]
    )
    gradient_checkpointing: Auto | Checkpointing = Field(
        default="auto", description="Recompute activations in the backward pass to save memory."
    )
    loss: Auto | Loss = Field(default="auto", description="chunked: the logits are never there as a whole.")
    compile: bool = Field(default=False, description="Compile the decoder layers with torch.compile.")
    kernels: Auto | Kernels = Field(default="auto", description="Replacement kernels.")
    neftune_alpha: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Noise added to embeddings in training.", examples=[5.0]
    )
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = Field(
        default=42, description="The seed of everything random.", examples=[42]
    )
    preference: Preference = Field(default_factory=Preference, description="dpo, orpo, kto: the loss over preferences.")
