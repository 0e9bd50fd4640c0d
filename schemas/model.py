"""The recipe's `model` section: the base, and how it is read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.section import DTYPES, Auto, Dtype, Names, Section, Text, about

Attention = Literal["sdpa", "flash_attention_2", "flash_attention_3", "flex", "eager"]


class Tokens(Section):
    pad: Text | None = Field(
        default=None,
        description="The padding token, where it is not the tokenizer's.",
        examples=["<|pad|>"],
        json_schema_extra=about(
            "Rarely needed: where the tokenizer has none, its end-of-sequence token is taken.",
            values={"null": "The tokenizer's own."},
        ),
    )
    eos: Text | None = Field(
        default=None,
        description="The end-of-sequence token, where it is not the tokenizer's.",
        examples=["<|im_end|>"],
        json_schema_extra=about(
            "It must be what the chat template ends a turn with, or the model never learns to stop.",
            values={"null": "The tokenizer's own."},
        ),
    )
    bos: Text | None = Field(
        default=None,
        description="The beginning-of-sequence token, where it is not the tokenizer's.",
        examples=["<s>"],
        json_schema_extra=about("Rarely needed: the tokenizer knows it.", values={"null": "The tokenizer's own."}),
    )
    add: Names = Field(
        default=(),
        description="New tokens; their embeddings are trained.",
        examples=[["<tool>", "</tool>"]],
        json_schema_extra=about("Add few: each is a row of the embedding that starts without meaning."),
    )


class Model(Section):
    base: Text = Field(
        description="A hub id, a catalog name, or a local folder relative to the recipe.",
        examples=["meta-llama/Llama-3.1-8B-Instruct", "./base"],
        json_schema_extra=about(
            "Take an instruct model for little data, a base model for much; `ftc models` lists those known offline.",
            catalog="models",
        ),
    )
    revision: Text = Field(
        default="main",
        description="The branch, tag or commit of the base on the hub.",
        examples=["main"],
        json_schema_extra=about(
            "Name a commit, so that a later run starts from the same weights.", values={"main": "The newest commit."}
        ),
    )
    dtype: Auto | Dtype = Field(
        default="auto",
        description="Type of the base's weights.",
        examples=["bfloat16"],
        json_schema_extra=about(
            "Leave it to auto, which looks at the GPU.",
            values=DTYPES,
        ),
    )
    attention: Auto | Attention = Field(
        default="auto",
        description="The attention implementation.",
        examples=["sdpa"],
        json_schema_extra=about(
            "Leave it to auto: through sdpa, PyTorch takes the fastest kernel that a card has.",
            values={
                "auto": "sdpa, or eager where the model needs what sdpa cannot compute.",
                "sdpa": "Comes with PyTorch, and takes its flash kernel where it can.",
                "flash_attention_2": "The package flash-attn; Ampere cards and newer, 16 bit.",
                "flash_attention_3": "Version 3 of FlashAttention, a package of its own; Hopper cards only, 16 bit.",
                "flex": "PyTorch's compiled attention, for models whose scores sdpa leaves out; no cpu.",
                "eager": "Plain products that write out all scores: the most memory, and runs everywhere.",
            },
        ),
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Whether Python code that ships with the base may run.",
        examples=[False],
        json_schema_extra=about(
            "Leave it false unless you have read that code.",
            values={
                "true": "The base's own code runs on your machine.",
                "false": "Only code of the installed packages runs.",
            },
        ),
    )
    tokenizer: Text | None = Field(
        default=None,
        description="Another tokenizer than the base's: a hub id or a folder.",
        examples=["./tokenizer"],
        json_schema_extra=about(
            "Needed where the base was saved without one; its token ids must be the base's.",
            values={"null": "The base's own."},
        ),
    )
    chat_template: Auto | Text = Field(
        default="auto",
        description="How conversations become text: a known name, or the path of a .jinja file.",
        examples=["auto", "chatml", "alpaca", "./chat.jinja"],
        json_schema_extra=about(
            "Keep an instruct model's own; a base model without one needs a name, chatml for instance.",
            values={
                "auto": "The tokenizer's own, where the data has conversations.",
                "tokenizer": "The tokenizer's own, also for prompts and completions.",
                "alpaca": "### Instruction, ### Input, ### Response: for base models and alpaca rows.",
                "chatml": "<|im_start|> before each turn, as Qwen has it; for base models.",
                "gemma": "Gemma's turns.",
                "llama3": "Llama 3's headers.",
                "mistral": "Mistral's [INST].",
                "phi3": "Phi-3's <|user|> and <|end|>.",
                "zephyr": "Zephyr's <|user|>, each turn ended by the end-of-sequence token.",
            },
        ),
    )
    tokens: Tokens = Field(
        default_factory=Tokens,
        description="Special tokens that differ from the tokenizer's.",
        examples=[{"pad": "<|pad|>"}],
    )
