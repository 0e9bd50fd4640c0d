# pyright: basic
"""The steps that are timed: how long their documents are, when each ended, and how fast that was."""

from __future__ import annotations

import math
import random
import time
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from transformers import TrainerCallback

ROWS = 8
"""Packed rows a step: 16,384 tokens, of rows of 2,048."""
WARM, TIMED = 3, 4
MEDIAN, SPREAD, SHORTEST = 250, 0.8, 16
"""Of the documents of a chat: log-normal."""


def documents(kind: str, longest: int) -> list[int]:
    """Lengths that fill the rows of a step."""
    if kind == "full":
        return [longest] * ROWS
    chance, found = random.Random(0), []  # noqa: S311 - no secret is made of it
    for _ in range(ROWS):
        left = longest
        while left:
            length = int(chance.lognormvariate(math.log(MEDIAN), SPREAD))
            length = min(max(length, SHORTEST), left)
            length = left if left - length < SHORTEST else length
            found.append(length)
            left -= length
    return found


class Clock(TrainerCallback):
    """When each step ended, on the device's own clock."""

    def __init__(self) -> None:
        self.ends: list[Any] = []
        self.losses: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if not torch.cuda.is_available():
            self.ends.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.ends.append(event)

    def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
        if "loss" in logs:
            self.losses.append(round(logs["loss"], 4))

    def seconds(self) -> list[float]:
        """Of each step after the warm ones."""
        if not torch.cuda.is_available():
            return [b - a for a, b in pairwise(self.ends[WARM - 1 :])]
        torch.cuda.synchronize()
        return [a.elapsed_time(b) / 1e3 for a, b in pairwise(self.ends[WARM - 1 :])]


def said(plan: dict[str, Any], lengths: list[int], clock: Clock) -> dict[str, Any]:
    """Tokens that are no padding a second, and the model's own operations. `lengths`: of one step's documents."""
    seconds, flops = clock.seconds()[:TIMED], plan["derived"]["flops"]
    tokens, pairs = sum(lengths), sum(length * length / 2 for length in lengths)
    took = median(seconds)
    return {
        "tokens_per_second": round(tokens / took, 1),
        "step_seconds": round(took, 4),
        "spread": [round(min(seconds), 4), round(max(seconds), 4)],
        "tflops": round((flops["token"] * tokens + flops["pair"] * pairs) / took / 1e12, 1),
        "documents": len(lengths),
        "losses": clock.losses,
        "allocated_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "reserved_gib": round(torch.cuda.max_memory_reserved() / 2**30, 2),
    }
