"""Writes down what a training run does, a JSON line each: the batches that it takes from its data loader, the loss that
each of them sends backwards, where the trained weights begin, and the settings of every step of the optimizer.

Python imports a module of this name by itself when its folder is on PYTHONPATH, so that the artifact and the tool stay
as they are. FTC_PARITY_RECORD names the file to write. FTC_PARITY_CORRECT holds a seed and takes the known differences
away: torch is seeded before the tool starts, and the trainer counts the trained tokens of a step.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

RECORD, CORRECT = os.environ.get("FTC_PARITY_RECORD"), os.environ.get("FTC_PARITY_CORRECT")
COLUMNS = ("input_ids", "labels", "attention_mask")
SHOWN = 3
"""The values of a weight that are written down."""


def note(kind: str, what: Any) -> None:
    """Add a line to the record."""
    with Path(RECORD or os.devnull).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps([kind, what]) + "\n")


def watch_batches() -> None:
    """Wrap the one place that all data loaders hand their batches out from."""
    from torch.utils.data.dataloader import _BaseDataLoaderIter

    original = _BaseDataLoaderIter.__next__

    def next_batch(self: Any) -> Any:
        batch = original(self)
        if hasattr(batch, "keys") and {"input_ids", "labels"} <= set(batch.keys()):
            note("batch", {name: batch[name].tolist() for name in COLUMNS if name in batch})
        return batch

    _BaseDataLoaderIter.__next__ = next_batch


def watch_losses() -> None:
    """Wrap the call that gradients start from: what a micro batch weighs in its step shows in the value."""
    from torch import Tensor

    original = Tensor.backward

    def backward(self: Any, *arguments: Any, **named: Any) -> Any:
        note("loss", float(self.detach()))
        return original(self, *arguments, **named)

    Tensor.backward = backward


def watch_optimizer() -> None:
    """Look at every optimizer just before its steps."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    begun = False

    def before_step(optimizer: Any, *_: Any) -> None:
        nonlocal begun
        if not begun:
            begun = True
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            note("weights", [[weight.numel(), weight.detach().flatten()[:SHOWN].tolist()] for weight in weights])
        note("step", sorted(settings(group) for group in optimizer.param_groups if group["params"]))

    register_optimizer_step_pre_hook(before_step)


def settings(group: dict[str, Any]) -> list[float]:
    """How many values a group of weights has, and how they are changed."""
    values = sum(weight.numel() for weight in group["params"])
    return [values, float(group["lr"]), group["weight_decay"], *group["betas"], group["eps"]]


def correct(seed: int) -> None:
    """Take away what exceptions.py names, and nothing else."""
    import torch
    from transformers import Trainer

    original = Trainer.train

    def train(self: Any, *arguments: Any, **named: Any) -> Any:
        self.model_accepts_loss_kwargs = True
        return original(self, *arguments, **named)

    Trainer.train = train
    torch.manual_seed(seed)


if CORRECT:
    correct(int(CORRECT))
if RECORD:
    watch_batches()
    watch_losses()
    watch_optimizer()
