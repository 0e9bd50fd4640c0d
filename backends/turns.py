"""Tokens that end a turn: which chat formats write which, and whether a base's tokenizer has them."""

from __future__ import annotations

from typing import Final

from schemas.plan import Plan

FAMILIES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "llama3": ("<|eot_id|>", ("llama3",)),
    "chatml": ("<|im_end|>", ("chatml", "qwen2", "qwen2.5", "qwen3", "qwen3.5", "smollm2", "phi4")),
    "gemma": ("<end_of_turn>", ("gemma", "gemma3")),
    "phi3": ("<|end|>", ("phi3", "phi4-mini")),
}
"""One of our chat templates → the token that ends its turns, and the chat formats of the tokenizers that have it. The
others end a turn with the tokenizer's own end of a sequence."""


def chat_format(plan: Plan) -> str | None:
    """The format that conversations are written in: the tokenizer's own, or the one that is named."""
    named = plan.model.chat_template
    return plan.facts.chat_format if named == "tokenizer" else named


def end_of_turn(plan: Plan) -> str | None:
    """The token that ends a turn; None where it is the end of a sequence, or not known."""
    written = chat_format(plan)
    return next((end for end, formats in FAMILIES.values() if written in formats), None)


def has_end(plan: Plan) -> bool | None:
    """Whether the base's tokenizer has the token that ends a turn; None where that is not known."""
    own, family = plan.facts.chat_format, FAMILIES.get(plan.model.chat_template or "")
    if plan.model.tokenizer is not None and family:
        return None
    if family is None or own in family[1]:
        return True
    return None if own in (None, "custom") else False
