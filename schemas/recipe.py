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
from schemas.section import Section
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
    axolotl: dict[str, object] = Field(default_factory=dict, description="Raw keys, merged last into Axolotl's YAML.")
    llamafactory: dict[str, object] = Field(
        default_factory=dict, description="Raw keys, merged last into LLaMA-Factory's YAML."
    )


class Recipe(Section):
    schema_: str | None = Field(default=None, alias="$schema", description="The editor's schema; ignored.")
    version: Literal[1] = Field(description="The version of this language.")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] = Field(
        description="Names folders and runs.", examples=["llama31-8b-support-qlora"]
    )
    model: Model = Field(description="The base model.")
    method: Method = Field(description="What is trained.")
    data: Data = Field(description="What it is trained on.")
    training: Training = Field(default_factory=Training, description="How it is trained.")
    evaluation: Evaluation = Field(default_factory=Evaluation, description="When it is evaluated.")
    checkpoint: Checkpoint = Field(default_factory=Checkpoint, description="When it is saved.")
    logging: Logging = Field(default_factory=Logging, description="When and where it reports.")
    output: Output = Field(default_factory=Output, description="Where results go.")
    hardware: Hardware = Field(default_factory=Hardware, description="What it runs on.")
    targets: Targets = Field(default_factory=Targets, description="Raw keys for what this language leaves out.")
