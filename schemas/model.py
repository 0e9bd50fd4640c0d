"""The recipe's `model` section: the base, and how it is read."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.section import Auto, Dtype, Names, Section, Text

Attention = Literal["sdpa", "flash_attention_2", "flash_attention_3", "flex", "eager"]


class Tokens(Section):
    pad: Text | None = Field(
        default=None, description="The padding token, where it is not the tokenizer's.", examples=["<|pad|>"]
    )
    eos: Text | None = Field(
        default=None,
        description="The end-of-sequence token, where it is not the tokenizer's.",
        examples=["<|im_end|>"],
    )
    bos: Text | None = Field(
        default=None,
        description="The beginning-of-sequence token, where it is not the tokenizer's.",
        examples=["<s>"],
    )
    add: Names = Field(
        default=(), description="New tokens; their embeddings are trained.", examples=[["<tool>", "</tool>"]]
    )


class Model(Section):
    base: Text = Field(
        description="A hub id, a catalog name, or a local folder relative to the recipe.",
        examples=["meta-llama/Llama-3.1-8B-Instruct", "./base"],
    )
    revision: Text = Field(
        default="main", description="The branch, tag or commit of the base on the hub.", examples=["main"]
    )
    dtype: Auto | Dtype = Field(
        default="auto",
        description="Type of the base's weights; auto: bfloat16 where the GPU has it, else float16; float32 on a cpu.",
    )
    attention: Auto | Attention = Field(default="auto", description="The attention implementation.")
    trust_remote_code: bool = Field(default=False, description="Whether Python code that ships with the base may run.")
    tokenizer: Text | None = Field(
        default=None, description="Another tokenizer than the base's: a hub id or a folder.", examples=["./tokenizer"]
    )
    chat_template: Auto | Text = Field(
        default="auto",
        description="auto, tokenizer (its own), a known name, or the path of a .jinja file.",
        examples=["auto", "chatml", "alpaca", "./chat.jinja"],
    )
    tokens: Tokens = Field(default_factory=Tokens, description="Special tokens that differ from the tokenizer's.")
