# pyright: basic
# Strict typing stops at transformers, whose classes are made at run time.
"""The loss of rows, token by token, of a model that is not trained any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from backends.native.data import IGNORED, Tokens

BUDGET = 4096
"""Tokens of a forward pass, padding among them."""
LOGITS = 1 << 28
"""A GiB in float32."""
Losses = list[tuple[float, int]]
"""Of each row the sum over its trained tokens, and how many they are."""


@torch.no_grad()
def losses(model: Any, rows: Sequence[Tokens], pad: int, advance: Callable[[int], object]) -> Losses:
    """Of each row in order. Rows of like length share a forward pass."""
    found: Losses = [(0.0, 0)] * len(rows)
    budget = min(BUDGET, max(1, LOGITS // model.get_output_embeddings().weight.shape[0]))
    for batch in batches([len(row.ids) for row in rows], budget):
        for at, loss in zip(batch, _batch(model, [rows[at] for at in batch], pad), strict=True):
            found[at] = loss
        advance(len(batch))
    return found


def batches(lengths: Sequence[int], budget: int, most: int = 64, *, same: bool = False) -> list[list[int]]:
    """Numbers of rows, shortest first, so that a batch has at most so many tokens. `same`: of one length each."""
    found: list[list[int]] = []
    for at in sorted(range(len(lengths)), key=lambda at: lengths[at]):
        last = found[-1] if found else []
        fits = last and (len(last) + 1) * lengths[at] <= budget and len(last) < most
        if fits and (not same or lengths[last[0]] == lengths[at]):
            last.append(at)
        else:
            found.append([at])
    return found


def _batch(model: Any, rows: Sequence[Tokens], pad: int) -> Losses:
    width = max(len(row.ids) for row in rows)
    ids = torch.tensor([row.ids + [pad] * (width - len(row.ids)) for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows], device=model.device)
    told = [row.labels + [IGNORED] * (width - len(row.ids)) for row in rows]
    labels = torch.tensor(told, device=model.device)[:, 1:]
    wanted = labels != IGNORED
    # The head only where a label is: all logits of a large vocabulary would not fit. Virtual tokens stand in front.
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, hidden: (hidden[0][:, -width:-1][wanted], *hidden[1:]))
    try:
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    finally:
        hook.remove()
    each = torch.nn.functional.cross_entropy(logits.float(), labels[wanted], reduction="none").double()
    sums = torch.zeros(len(rows), dtype=torch.double, device=each.device)
    sums.index_add_(0, wanted.nonzero()[:, 0], each)
    return list(zip(sums.tolist(), wanted.sum(1).tolist(), strict=True))
