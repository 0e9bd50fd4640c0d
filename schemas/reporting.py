"""The recipe's sections beside the training: `evaluation`, `checkpoint`, `logging`, `output`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.section import Auto, Positive, Section, Share, Text, about

Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]
Every = Literal["epoch"] | Positive | Share | None


class Evaluation(Section):
    every: Every = Field(
        default="epoch",
        description="When it is evaluated: epoch, a share of an epoch, a number of steps, or null.",
        examples=["epoch", 0.25, 100],
        json_schema_extra=about(
            "Often enough to see the loss turn, seldom enough to cost little; nothing happens without validation data.",
            unit="share of an epoch, or optimizer steps",
            values={"epoch": "At the end of each epoch.", "null": "Never."},
        ),
    )
    batch_size: Auto | Positive = Field(
        default="auto",
        description="Rows per device in evaluation.",
        examples=["auto", 4],
        json_schema_extra=about(
            "Fewer where evaluation is what does not fit; the losses are the same.",
            unit="rows",
            values={"auto": "As micro_batch_size."},
        ),
    )


class Checkpoint(Section):
    every: Every = Field(
        default="epoch",
        description="When it is saved: epoch, a share of an epoch, a number of steps, or null.",
        examples=["epoch", 0.25, 500],
        json_schema_extra=about(
            "As much as you are willing to train again after a crash.",
            unit="share of an epoch, or optimizer steps",
            values={"epoch": "At the end of each epoch.", "null": "Never; only the result is saved."},
        ),
    )
    keep: Positive = Field(
        default=2,
        description="How many checkpoints stay.",
        examples=[2],
        json_schema_extra=about(
            "Each holds the optimizer's state too: with full fine-tuning it is several times the model's size.",
            unit="checkpoints",
        ),
    )
    best: bool = Field(
        default=False,
        description="Keep the best by validation loss, and end with it.",
        examples=[True],
        json_schema_extra=about(
            "It needs validation data, evaluation.every and checkpoint.every.",
            values={"true": "The run ends with its best checkpoint.", "false": "The run ends with its last step."},
        ),
    )
    weights_only: bool = Field(
        default=False,
        description="Leave the optimizer's state out of checkpoints.",
        examples=[True],
        json_schema_extra=about(
            "Write resume: never with it: such a run cannot go on.",
            values={"true": "Smaller, and cannot be resumed.", "false": "An interrupted run goes on where it was."},
        ),
    )
    resume: Literal["auto", "never"] | Text = Field(
        default="auto",
        description="What a run goes on from: auto, never, or the path of a checkpoint.",
        examples=["auto", "outputs/support/checkpoint-500"],
        json_schema_extra=about(
            "Leave it to auto: the same command then goes on after a crash.",
            values={
                "auto": "The newest whole checkpoint of the same plan, if there is one.",
                "never": "Every run begins anew.",
            },
        ),
    )


class Logging(Section):
    every: Positive = Field(
        default=10,
        description="Steps between two log lines.",
        examples=[10],
        json_schema_extra=about("1 for a run of a few hundred steps.", unit="optimizer steps"),
    )
    to: Annotated[tuple[Tracker, ...], Field(strict=False)] = Field(
        default=(),
        description="Experiment trackers.",
        examples=[["tensorboard"]],
        json_schema_extra=about(
            "None is needed: a run draws its own page, report.html.",
            values={
                "tensorboard": "Files in the run's folder.",
                "wandb": "Weights & Biases; needs an account, or its offline mode.",
                "mlflow": "MLflow; a server, or files.",
                "trackio": "Hugging Face's local tracker.",
            },
        ),
    )
    project: Text | None = Field(
        default=None,
        description="The tracker's project.",
        examples=["support-desk"],
        json_schema_extra=about("Name one to compare several recipes in it.", values={"null": "The recipe's name."}),
    )


class Output(Section):
    dir: Text = Field(
        default="outputs",
        description="Where runs are written, relative to the recipe.",
        examples=["outputs"],
        json_schema_extra=about("A disk with room: the run is the folder of the recipe's name in it."),
    )
    merge: bool = Field(
        default=False,
        description="Merge the adapter into the base after training.",
        examples=[True],
        json_schema_extra=about(
            "For servers that take no adapters; `ftc merge` can do it later; lora, qlora, dora, qdora and ia3 only.",
            values={"true": "A whole model is written beside the adapter.", "false": "The adapter alone."},
        ),
    )
