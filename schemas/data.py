"""The recipe's `data` section: where rows come from, and what of them is learnt."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.section import Auto, Positive, Section, Share, Text

DataFormat = Literal["messages", "sharegpt", "alpaca", "prompt_completion", "text", "preference", "kto"]
Overlong = Literal["truncate", "drop", "split", "error"]
BadRows = Literal["error", "drop"]
LossOn = Literal["assistant", "last_assistant", "completion", "all"]


class Fields(Section):
    messages: Text | None = Field(default=None, description="The column with the turns.", examples=["conversation"])
    role: Text | None = Field(default=None, description="The key of a turn's speaker.", examples=["from"])
    content: Text | None = Field(default=None, description="The key of a turn's text.", examples=["value"])
    thinking: Text | None = Field(default=None, description="The key of a turn's reasoning.")
    tools: Text | None = Field(default=None, description="The column with tool definitions.")
    system: Text | None = Field(default=None, description="The column with the system text.")
    instruction: Text | None = Field(default=None, description="alpaca: the column with the task.")
    input: Text | None = Field(default=None, description="alpaca: the column with the task's input.")
    output: Text | None = Field(default=None, description="alpaca: the column with the answer.")
    prompt: Text | None = Field(default=None, description="The column with the prompt.", examples=["question"])
    completion: Text | None = Field(default=None, description="The column with the completion.", examples=["answer"])
    chosen: Text | None = Field(default=None, description="The column with the preferred answer.")
    rejected: Text | None = Field(default=None, description="The column with the other answer.")
    label: Text | None = Field(default=None, description="kto: the column that says whether the answer is good.")
    text: Text | None = Field(default=None, description="The column with raw text.", examples=["body"])


class Source(Section):
    path: Text = Field(
        description="A file or glob relative to the recipe, or a hub dataset.",
        examples=["data/train.jsonl", "tatsu-lab/alpaca"],
    )
    format: Auto | DataFormat = Field(default="auto", description="What a row looks like.")
    split: Text = Field(default="train", description="The split of a hub dataset, by name.", examples=["train"])
    subset: Text | None = Field(default=None, description="The configuration of a hub dataset.", examples=["main"])
    revision: Text | None = Field(default=None, description="The branch, tag or commit of a hub dataset.")
    weight: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="The share of this source against the others.", examples=[2.0]
    )
    limit: Positive | Share | None = Field(
        default=None,
        description="Only the first rows: an integer is a count, a float in (0, 1) a share.",
        examples=[1000, 0.1],
    )
    fields: Fields = Field(default_factory=Fields, description="Our column name: theirs.")


Sources = Source | Annotated[tuple[Source, ...], Field(strict=False, min_length=1)]


class Data(Section):
    train: Sources = Field(description="What is learnt from: one source, or several mixed by weight.")
    validation: Share | Positive | Sources | None = Field(
        default=0.05,
        description="A share of the training rows, a number of them, or sources of their own.",
        examples=[0.05, 500],
    )
    system: Text | None = Field(default=None, description="Put in front of conversations that have no system message.")
    max_length: Positive = Field(default=2048, description="The longest row, in tokens.", examples=[2048])
    overlong: Auto | Overlong = Field(
        default="auto", description="What happens to longer rows; auto: split for text, else drop."
    )
    bad_rows: BadRows = Field(
        default="error",
        description="What happens where rows cannot be trained on: nothing is trained, or they are left out.",
        examples=["drop"],
    )
    packing: Auto | bool = Field(default="auto", description="Whether short rows share one, attention kept apart.")
    loss_on: Auto | LossOn = Field(default="auto", description="The tokens that are trained.")
    shuffle: bool = Field(default=True, description="Whether rows are visited in random order.")
