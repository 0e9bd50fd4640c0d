"""The recipe's sections beside the training: `evaluation`, `checkpoint`, `logging`, `output`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.section import Auto, Positive, Section, Share, Text

Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]
Every = Literal["epoch"] | Positive | Share | None


class Evaluation(Section):
    every: Every = Field(
        default="epoch",
        description="epoch, a share of an epoch, a number of steps, or null: never.",
        examples=["epoch", 0.25, 100],
    )
    batch_size: Auto | Positive = Field(
        default="auto", description="Rows per device in evaluation; auto: as in training.", examples=[4]
    )


class Checkpoint(Section):
    every: Every = Field(
        default="epoch",
        description="epoch, a share of an epoch, a number of steps, or null: never.",
        examples=["epoch", 0.25, 500],
    )
    keep: Positive = Field(default=2, description="How many checkpoints stay.", examples=[2])
    best: bool = Field(default=False, description="Keep the best by validation loss, and end with it.")
    weights_only: bool = Field(
        default=False, description="Leave the optimizer's state out: smaller, cannot be resumed."
    )
    resume: Literal["auto", "never"] | Text = Field(
        default="auto", description="auto (the newest complete checkpoint of the same plan), never, or a path."
    )


class Logging(Section):
    every: Positive = Field(default=10, description="Optimizer steps between two log lines.", examples=[10])
    to: Annotated[tuple[Tracker, ...], Field(strict=False)] = Field(
        default=(), description="Experiment trackers.", examples=[["tensorboard"]]
    )
    project: Text | None = Field(default=None, description="The tracker's project; null: the recipe's name.")


class Output(Section):
    dir: Text = Field(
        default="outputs", description="Where runs are written, relative to the recipe.", examples=["outputs"]
    )
    merge: bool = Field(default=False, description="Merge the adapter into the base after training.")
