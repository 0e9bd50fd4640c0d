"""The columns of a source's rows: `data.train[].fields`."""

from __future__ import annotations

from pydantic import Field

from schemas.section import Section, Text, about


class Fields(Section):
    messages: Text | None = Field(
        default=None,
        description="The column with the turns.",
        examples=["conversation"],
        json_schema_extra=about(
            "For messages and sharegpt rows, and for preference and kto rows that are conversations.",
            values={"null": "messages; conversations in sharegpt rows."},
        ),
    )
    role: Text | None = Field(
        default=None,
        description="The key of a turn's speaker.",
        examples=["from"],
        json_schema_extra=about(
            "Speakers may be called user, human, assistant, gpt and so on.", values={"null": "role; from in sharegpt."}
        ),
    )
    content: Text | None = Field(
        default=None,
        description="The key of a turn's text.",
        examples=["value"],
        json_schema_extra=about("A turn's text, not a list of parts.", values={"null": "content; value in sharegpt."}),
    )
    thinking: Text | None = Field(
        default=None,
        description="The key of a turn's reasoning.",
        examples=["reasoning"],
        json_schema_extra=about(
            "For models whose chat template renders reasoning apart.",
            values={"null": "Turns keep a reasoning_content of their own."},
        ),
    )
    tools: Text | None = Field(
        default=None,
        description="The column with tool definitions.",
        examples=["functions"],
        json_schema_extra=about("A chat template must render them.", values={"null": "tools, where a row has it."}),
    )
    system: Text | None = Field(
        default=None,
        description="The column with the system text.",
        examples=["system_prompt"],
        json_schema_extra=about(
            "A row's own system text comes before data.system.", values={"null": "system, where a row has it."}
        ),
    )
    instruction: Text | None = Field(
        default=None,
        description="The column with the task.",
        examples=["task"],
        json_schema_extra=about("For alpaca rows.", values={"null": "instruction."}),
    )
    input: Text | None = Field(
        default=None,
        description="The column with the task's input.",
        examples=["context"],
        json_schema_extra=about("For alpaca rows; it may be empty in a row.", values={"null": "input."}),
    )
    output: Text | None = Field(
        default=None,
        description="The column with the answer.",
        examples=["response"],
        json_schema_extra=about("For alpaca rows.", values={"null": "output."}),
    )
    prompt: Text | None = Field(
        default=None,
        description="The column with the prompt.",
        examples=["question"],
        json_schema_extra=about("For prompt_completion, preference and kto rows.", values={"null": "prompt."}),
    )
    completion: Text | None = Field(
        default=None,
        description="The column with the completion.",
        examples=["answer"],
        json_schema_extra=about("For prompt_completion and kto rows.", values={"null": "completion."}),
    )
    chosen: Text | None = Field(
        default=None,
        description="The column with the preferred answer.",
        examples=["better"],
        json_schema_extra=about("For preference rows.", values={"null": "chosen."}),
    )
    rejected: Text | None = Field(
        default=None,
        description="The column with the other answer.",
        examples=["worse"],
        json_schema_extra=about("For preference rows.", values={"null": "rejected."}),
    )
    label: Text | None = Field(
        default=None,
        description="The column that says whether the answer is good.",
        examples=["good"],
        json_schema_extra=about("For kto rows; true or false in each.", values={"null": "label."}),
    )
    text: Text | None = Field(
        default=None,
        description="The column with raw text.",
        examples=["body"],
        json_schema_extra=about("For text rows.", values={"null": "text."}),
    )
