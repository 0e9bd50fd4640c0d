"""LLaMA-Factory writes conversations with templates of its own, in Python: which one stands for which chat format."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from backends.turns import chat_format
from schemas.plan import Plan

NEWLINE: Final = "it also trains the line break after each answer"


class Template(Struct, frozen=True):
    """A registered template. `differs`: what it writes or trains otherwise than the tokenizer's own."""

    name: str
    differs: str | None = None


DATE: Final = "where the tokenizer's own adds a system turn with a date, it writes none"
DATED: Final = re.compile(r"llama[-_ ]?3\.[123]", re.IGNORECASE)
"""Bases whose own chat template writes the date: Llama 3.1 and later, which share Llama 3's chat format."""

THOUGHT: Final = "it writes an empty thought before every answer, not only the last, and trains it"
CLOSE: Final = "it writes no space before [/INST]"

TEMPLATES: Final[dict[str, Template]] = {
    "chatml": Template("chatml", NEWLINE),
    "gemma": Template("gemma", NEWLINE),
    # Its "gemma3" is the same, and wants an image processor beside the tokenizer.
    "gemma3": Template("gemma", NEWLINE),
    "llama2": Template("llama2"),
    "llama3": Template("llama3"),
    "mistral": Template("mistral", CLOSE),
    "phi3": Template("phi", f"{NEWLINE}, and no end-of-text token after the last"),
    "phi4": Template("phi4"),
    "phi4-mini": Template("phi4_mini"),
    "qwen2": Template("qwen", f"{NEWLINE}, and its default system text is Qwen2.5's"),
    "qwen2.5": Template("qwen", NEWLINE),
    "qwen3": Template("qwen3", f"{THOUGHT}; {NEWLINE}"),
    "smollm2": Template("smollm2", NEWLINE),
}
"""Chat format of a base model → the template that writes it (llamafactory/data/template.py, 0.9.5).

The texts were compared, turn by turn, with the templates of the tokenizers that TRL 1.15 ships.
"""

OURS: Final[dict[str, Template]] = {
    "alpaca": Template(
        "alpaca", "it begins without the beginning-of-sequence token; it trains the blank line after each answer"
    ),
    "chatml": Template("chatml", NEWLINE),
    "gemma": Template("gemma", NEWLINE),
    "llama3": Template("llama3"),
    "mistral": Template("mistral", CLOSE),
    "phi3": Template("phi", NEWLINE),
    "zephyr": Template("zephyr", "it writes no line break after a turn, and a system text where there is none"),
}
"""Our chat templates by name → theirs; the texts were compared turn by turn."""


def template(plan: Plan) -> Template | None:
    """The template for this plan; None where none writes its format."""
    if plan.model.chat_template != "tokenizer":
        return OURS.get(chat_format(plan) or "")
    dated = chat_format(plan) == "llama3" and DATED.search(plan.facts.hub_id or plan.facts.name)
    return Template("llama3", DATE) if dated else TEMPLATES.get(chat_format(plan) or "")
