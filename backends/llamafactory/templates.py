"""LLaMA-Factory writes conversations with templates of its own, in Python: which one stands for which chat format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.plan import Plan

NEWLINE: Final = "it also trains the line break after each answer"


@dataclass(frozen=True, slots=True)
class Template:
    """A registered template. `differs`: what it writes or trains otherwise than the tokenizer's own."""

    name: str
    differs: str | None = None


TEMPLATES: Final[dict[str, Template]] = {
    "chatml": Template("chatml", NEWLINE),
    "gemma": Template("gemma", NEWLINE),
    "gemma3": Template("gemma3", NEWLINE),
    "llama2": Template("llama2"),
    "llama3": Template("llama3", "where the tokenizer's template adds a system turn with a date, this one writes none"),
    "phi3": Template("phi", NEWLINE),
    "phi4": Template("phi4"),
    "phi4-mini": Template("phi4_mini"),
    "qwen2": Template("qwen", f"{NEWLINE}, and its default system text is Qwen2.5's"),
    "qwen2.5": Template("qwen", NEWLINE),
    "qwen3": Template("qwen3", f"{NEWLINE} and an empty thought before it"),
    "smollm2": Template("smollm2", NEWLINE),
}
"""Chat format of a base model → the template that writes it (llamafactory/data/template.py, 0.9.5)."""


def chat_format(plan: Plan) -> str | None:
    """The format that conversations are written in: the tokenizer's own, or the one that is named."""
    named = plan.model.chat_template
    return plan.facts.chat_format if named == "tokenizer" else named


def template(plan: Plan) -> Template | None:
    """The template for this plan; None where none writes its format."""
    return TEMPLATES.get(chat_format(plan) or "")
