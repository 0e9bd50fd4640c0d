"""The recipe's `data` section: where rows come from, and what of them is learnt."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.columns import Fields
from schemas.section import Auto, Positive, Section, Share, Text, about

DataFormat = Literal["messages", "sharegpt", "alpaca", "prompt_completion", "text", "preference", "kto"]
Overlong = Literal["truncate", "drop", "split", "error"]
BadRows = Literal["error", "drop"]
LossOn = Literal["assistant", "last_assistant", "completion", "all"]


class Source(Section):
    path: Text = Field(
        description="A file or glob relative to the recipe, or a hub dataset.",
        examples=["data/train.jsonl", "data/*.parquet", "tatsu-lab/alpaca"],
        json_schema_extra=about(
            "It is a file if it ends in .jsonl, .json, .csv, .parquet or .txt (also with .gz or .zst), holds a * or "
            "starts with . / or ~; else it is a dataset's id on the hub."
        ),
    )
    format: Auto | DataFormat = Field(
        default="auto",
        description="What a row looks like.",
        examples=["messages"],
        json_schema_extra=about(
            "auto reads the first row of a file; a hub dataset needs it said.",
            values={
                "auto": "Seen from the first row of the file.",
                "messages": "messages: [{role, content}, ...]; conversations as chat models are asked.",
                "sharegpt": "conversations: [{from, value}, ...]; the same under other names.",
                "alpaca": "instruction, input, output: one task and its answer.",
                "prompt_completion": "prompt, completion: two texts, or two lists of turns.",
                "text": "text: raw text, all of it learnt.",
                "preference": "prompt, chosen, rejected: pairs of answers, for dpo and orpo.",
                "kto": "prompt, completion, label: single answers marked good or bad, for kto.",
            },
        ),
    )
    split: Text = Field(
        default="train",
        description="The split of a hub dataset, by name.",
        examples=["train", "train_sft"],
        json_schema_extra=about("A name only: for train[:20%] write split: train and limit: 0.2."),
    )
    subset: Text | None = Field(
        default=None,
        description="The configuration of a hub dataset.",
        examples=["main"],
        json_schema_extra=about(
            "Needed where the dataset's page offers several.", values={"null": "The dataset's default."}
        ),
    )
    revision: Text | None = Field(
        default=None,
        description="The branch, tag or commit of a hub dataset.",
        examples=["main"],
        json_schema_extra=about(
            "Name a commit, so that a later run reads the same rows.", values={"null": "The newest commit."}
        ),
    )
    weight: Annotated[float, Field(gt=0)] = Field(
        default=1.0,
        description="How often an epoch sees each row of this source.",
        examples=[2.0, 0.5],
        json_schema_extra=about(
            "2.0 sees every row twice, 0.5 every second one; for training sources only.", unit="times an epoch"
        ),
    )
    limit: Positive | Share | None = Field(
        default=None,
        description="Only the first rows: an integer is a count, a float in (0, 1) a share.",
        examples=[1000, 0.1],
        json_schema_extra=about(
            "Try a recipe on a few hundred rows before a long run.",
            unit="rows, or a share of them",
            values={"null": "All rows."},
        ),
    )
    fields: Fields = Field(
        default_factory=Fields,
        description="Columns that have other names in this source. Our column name: theirs.",
        examples=[{"messages": "conversation"}],
    )


Sources = Source | Annotated[tuple[Source, ...], Field(strict=False, min_length=1)]


class Data(Section):
    train: Sources = Field(
        description="What is learnt from: one source, or several mixed by weight.",
        examples=[{"path": "data/train.jsonl"}, [{"path": "data/a.jsonl"}, {"path": "data/b.jsonl", "weight": 2.0}]],
    )
    validation: Share | Positive | Sources | None = Field(
        default=0.05,
        description="What the validation loss is read on: a share of the training rows, a number of them, or sources "
        "of their own.",
        examples=[0.05, 500, {"path": "data/validation.jsonl"}],
        json_schema_extra=about(
            "A few hundred rows are enough; rows are chosen by a hash of the seed, the same for every target.",
            unit="share of the training rows, or rows",
            values={"null": "No validation."},
        ),
    )
    system: Text | None = Field(
        default=None,
        description="Put in front of conversations that have no system message.",
        examples=["You are the support desk of a small shop."],
        json_schema_extra=about(
            "Write here what the model will be told when it is asked later.", values={"null": "Nothing is put there."}
        ),
    )
    max_length: Positive = Field(
        default=2048,
        description="The longest row.",
        examples=[2048, 4096],
        json_schema_extra=about(
            "`ftc data` shows how long your rows are; memory for activations grows with it.", unit="tokens"
        ),
    )
    overlong: Auto | Overlong = Field(
        default="auto",
        description="What happens to rows over max_length; they are counted and reported.",
        examples=["drop"],
        json_schema_extra=about(
            "A conversation cut in the middle teaches to stop in the middle: better drop it, or raise max_length.",
            values={
                "auto": "split where all data is text, else drop.",
                "truncate": "The first max_length tokens are kept.",
                "drop": "The row is left out.",
                "split": "Text is cut into several rows; for format text only.",
                "error": "Nothing is trained.",
            },
        ),
    )
    bad_rows: BadRows = Field(
        default="error",
        description="What happens where rows cannot be trained on.",
        examples=["drop"],
        json_schema_extra=about(
            "Run `ftc data` first: it names each such row by file and line.",
            values={
                "error": "Nothing is trained until they are mended.",
                "drop": "They are left out, counted and reported.",
            },
        ),
    )
    packing: Auto | bool = Field(
        default="auto",
        description="Whether short rows share one, attention kept apart.",
        examples=[True],
        json_schema_extra=about(
            "It saves the time that padding takes, and a step then sees more conversations.",
            values={
                "auto": "On for sft and pretrain; off for dpo, orpo, kto, virtual tokens, models that would mix rows.",
                "true": "Rows share one; documents do not see each other.",
                "false": "Each row stands alone, padded to the longest of its batch.",
            },
        ),
    )
    loss_on: Auto | LossOn = Field(
        default="auto",
        description="The tokens that are trained.",
        examples=["assistant"],
        json_schema_extra=about(
            "`ftc data` marks the trained tokens of real rows; not to be set with dpo, orpo and kto.",
            values={
                "auto": "assistant for conversations, completion for prompts and alpaca rows, all for text.",
                "assistant": "Every answer of a conversation.",
                "last_assistant": "Only the last answer of a conversation.",
                "completion": "The answer of a prompt_completion or alpaca row.",
                "all": "Every token, the questions too.",
            },
        ),
    )
    shuffle: bool = Field(
        default=True,
        description="Whether rows are visited in random order.",
        examples=[True],
        json_schema_extra=about(
            "Switch it off only where the order is meant, as in a curriculum.",
            values={"true": "In random order, drawn from the seed.", "false": "In the order of the files."},
        ),
    )
