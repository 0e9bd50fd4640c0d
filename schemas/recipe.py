"""The recipe language, version 1: what a person writes. Shapes only; what spans several fields is a rule.

Each section stands in a module of its own; the names that others need can be had from here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.data import BadRows, Data, DataFormat, Fields, LossOn, Overlong, Source, Sources
from schemas.hardware import Hardware, Offload, Size, SizeText, Strategy
from schemas.method import Method
from schemas.model import Attention, Model, Tokens
from schemas.reporting import Checkpoint, Evaluation, Every, Logging, Output, Tracker
from schemas.section import Section, about
from schemas.training import Checkpointing, Kernels, Loss, Objective, Optimizer, Preference, Scheduler, Training

__all__ = [
    "Attention",
    "BadRows",
    "Checkpoint",
    "Checkpointing",
    "Data",
    "DataFormat",
    "Evaluation",
    "Every",
    "Fields",
    "Hardware",
    "Kernels",
    "Logging",
    "Loss",
    "LossOn",
    "Model",
    "Objective",
    "Offload",
    "Optimizer",
    "Output",
    "Overlong",
    "Preference",
    "Recipe",
    "Scheduler",
    "Size",
    "SizeText",
    "Source",
    "Sources",
    "Strategy",
    "Targets",
    "Tokens",
    "Tracker",
    "Training",
]


class Targets(Section):
    axolotl: dict[str, object] = Field(
        default_factory=dict,
        description="Raw keys, merged last into Axolotl's YAML.",
        examples=[{"qat": {"weight_dtype": "int4", "activation_dtype": "int8", "group_size": 32}}],
        json_schema_extra=about("Only for what this language leaves out; builds for other targets are then refused."),
    )
    llamafactory: dict[str, object] = Field(
        default_factory=dict,
        description="Raw keys, merged last into LLaMA-Factory's YAML.",
        examples=[{"use_galore": True, "galore_rank": 128}],
        json_schema_extra=about("Only for what this language leaves out; builds for other targets are then refused."),
    )


class Recipe(Section):
    schema_: str | None = Field(
        default=None,
        alias="$schema",
        description="The editor's schema; ftc ignores it.",
        examples=["./.ftc/recipe.schema.json"],
        json_schema_extra=about(
            "`ftc schema RECIPE` writes the schema, and names it in a comment instead.",
            values={"null": "No schema is named by a key."},
        ),
    )
    version: Literal[1] = Field(
        description="The version of this language.",
        examples=[1],
        json_schema_extra=about("Always 1 so far.", values={"1": "The language that this ftc reads."}),
    )
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] = Field(
        description="Names folders and runs.",
        examples=["llama31-8b-support-qlora"],
        json_schema_extra=about("Say the base, the purpose and the method: runs are told apart by it."),
    )
    model: Model = Field(description="The base model.", examples=[{"base": "meta-llama/Llama-3.1-8B-Instruct"}])
    method: Method = Field(description="What is trained.", examples=[{"kind": "qlora", "rank": 16}])
    data: Data = Field(description="What it is trained on.", examples=[{"train": {"path": "data/train.jsonl"}}])
    training: Training = Field(
        default_factory=Training, description="How it is trained.", examples=[{"epochs": 3, "global_batch_size": 16}]
    )
    evaluation: Evaluation = Field(
        default_factory=Evaluation, description="When it is evaluated.", examples=[{"every": "epoch"}]
    )
    checkpoint: Checkpoint = Field(
        default_factory=Checkpoint, description="When it is saved.", examples=[{"every": "epoch", "keep": 2}]
    )
    logging: Logging = Field(
        default_factory=Logging, description="When and where it reports.", examples=[{"to": ["tensorboard"]}]
    )
    output: Output = Field(default_factory=Output, description="Where results go.", examples=[{"dir": "outputs"}])
    hardware: Hardware = Field(
        default_factory=Hardware, description="What it runs on.", examples=[{"gpu": "a100-40gb"}]
    )
    targets: Targets = Field(
        default_factory=Targets,
        description="Raw keys for what this language leaves out.",
        examples=[{"axolotl": {"qat": {"weight_dtype": "int4"}}}],
    )
