# pyright: basic
# Strict typing stops at transformers, whose classes are made at run time.
"""What a model answers: the likeliest token after the other, or drawn by a temperature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, TextStreamer

from compiler.after.loading import bare
from compiler.after.losses import batches

BUDGET = 8192
"""Tokens of prompts and answers that are in memory at once."""
BEYOND = 2
"""Tokens that an answer may go on beyond the one that is expected: it is another one then."""


def answers(
    model: Any,
    asked: Sequence[tuple[list[int], int]],
    ends: Sequence[int],
    pad: int,
    advance: Callable[[int], object],
    *,
    same: bool = False,
) -> list[list[int]]:
    """The greedy answer to each prompt, as tokens without the one that ends it. `asked`: prompts, and how many tokens
    the expected answers have. `same`: only prompts of one length together, for models whose virtual tokens stand before
    the padding."""
    found: list[list[int]] = [[] for _ in asked]
    settle(model, ends, pad, 0.0)
    for batch in batches([len(prompt) + size for prompt, size in asked], BUDGET):
        for part in _alike([asked[at] for at in batch], same=same):
            chosen = [batch[at] for at in part]
            said = _generated(model, [asked[at] for at in chosen], pad)
            for at, ids in zip(chosen, said, strict=True):
                found[at] = until(ids, ends)
        advance(len(batch))
    return found


def settle(model: Any, ends: Sequence[int], pad: int, temperature: float) -> None:
    """How a model chooses, in place of what its base says of that."""
    drawn: dict[str, Any] = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {}
    bare(model).generation_config = GenerationConfig(
        **({"do_sample": False} | drawn), eos_token_id=list(ends) or None, pad_token_id=pad
    )


def until(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    """Up to the first token that ends an answer."""
    stop = next((at for at, token in enumerate(ids) if token in ends), len(ids))
    return list(ids[:stop])


def _alike(asked: Sequence[tuple[list[int], int]], *, same: bool) -> list[list[int]]:
    if not same:
        return [list(range(len(asked)))]
    return batches([len(prompt) for prompt, _ in asked], BUDGET, same=True)


@torch.no_grad()
def _generated(model: Any, asked: Sequence[tuple[list[int], int]], pad: int) -> list[list[int]]:
    width, more = max(len(prompt) for prompt, _ in asked), max(size for _, size in asked) + BEYOND
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt, _ in asked], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt, _ in asked], device=model.device)
    made = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=more)
    return made[:, width:].tolist()


class Told(TextStreamer):
    """Hands on an answer as it is made."""

    def __init__(self, tokenizer: Any, tell: Callable[[str], object]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._tell = tell

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        del stream_end
        self._tell(text)


@torch.no_grad()
def stream(model: Any, tokenizer: Any, prompt: list[int], most: int, tell: Callable[[str], object]) -> None:
    """The answer to one prompt, told as it is made."""
    ids = torch.tensor([prompt], device=model.device)
    streamer = Told(tokenizer, tell)
    model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, streamer=streamer)
