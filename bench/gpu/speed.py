# pyright: basic
"""Steps of 16,384 tokens, in ever faster ways, on random weights and random tokens.

A kind of step is a name, or words joined by `+` that each put one thing back to what it is without ftc's native run:

    native          as the plan has it
    native+mask     attention under a mask over all pairs of positions, instead of document by document
    native+whole    the loss over all logits at once
    native+cast     each adapter casts its input to float32
    native+foreach  AdamW not fused
    native+liger, native+compile    what the plan leaves off
    bare            a loop without a trainer: the same model, attention, loss and optimizer
    trl             SFTTrainer at its defaults, on the same documents, as rows
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import measure  # pyright: ignore[reportMissingImports] (of the artifact, as what follows)
import model as native_model  # pyright: ignore[reportMissingImports]
import settings as native_settings  # pyright: ignore[reportMissingImports]
import torch
import trainer as native_trainer  # pyright: ignore[reportMissingImports]
from datasets import Dataset
from peft.helpers import disable_input_dtype_casting
from transformers import TrainerCallback, set_seed

ROWS = 8
"""Packed rows a step: 16,384 tokens, of rows of 2,048."""
WARM, TIMED = 3, 6
MEDIAN, SPREAD, SHORTEST = 250, 0.8, 16
"""Of the documents of a chat: log-normal."""
Step = dict[str, Any]


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


def packed_rows(lengths: list[int], longest: int, vocabulary: int) -> Dataset:
    """Full rows, each with the lengths of its documents."""
    rows: list[list[int]] = [[]]
    for length in lengths:
        if sum(rows[-1]) == longest:
            rows.append([])
        rows[-1].append(length)
    ids = [torch.randint(vocabulary, (longest,)).tolist() for _ in rows]
    return Dataset.from_dict({"input_ids": ids, "labels": ids, "seq_lengths": rows})


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


def run(plan: dict[str, Any], step: str, rows: str, device: str) -> dict[str, Any]:
    """Train, and say how fast: tokens that are no padding a second, and the model's own operations."""
    words = step.split("+")
    steps = WARM + TIMED
    wanted = documents(rows, plan["data"]["max_length"])
    # TRL takes eight rows at once.
    lengths = [wanted[: len(wanted) // 8 * 8] if words[0] == "trl" else wanted] * steps
    set_seed(0)
    clock = Clock()
    way = {"native": native, "bare": bare, "trl": trl}[words[0]]
    way(_plan(plan, words, steps), words, lengths, clock, device)
    seconds = clock.seconds()
    tokens, pairs = sum(lengths[0]), sum(length * length / 2 for length in lengths[0])
    took, flops = median(seconds), plan["derived"]["flops"]
    work = (flops["token"] * tokens + flops["pair"] * pairs) / took
    return {
        "tokens_per_second": round(tokens / took, 1),
        "step_seconds": round(took, 4),
        "spread": [round(min(seconds), 4), round(max(seconds), 4)],
        "tflops": round(work / 1e12, 1),
        "documents": len(lengths[0]),
        "losses": clock.losses,
        "allocated_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
        "reserved_gib": round(torch.cuda.max_memory_reserved() / 2**30, 2),
    }


def _plan(plan: dict[str, Any], words: list[str], steps: int) -> dict[str, Any]:
    training = {
        **plan["training"],
        "max_steps": steps,
        "epochs": None,
        "global_batch_size": ROWS,
        "loss": "full" if "whole" in words else plan["training"]["loss"],
        "kernels": "liger" if "liger" in words else plan["training"]["kernels"],
        "compile": "compile" in words,
    }
    return {
        **plan,
        "data": {**plan["data"], "shuffle": False},
        "training": training,
        "evaluation": {**plan["evaluation"], "every": None},
        "checkpoint": {**plan["checkpoint"], "every": None, "best": False},
        "logging": {**plan["logging"], "every": 1, "to": []},
    }


def native(plan: dict[str, Any], words: list[str], lengths: list[list[int]], clock: Clock, device: str) -> None:
    if "mask" in words:
        native_model.attention = lambda _: "sdpa"
    if "foreach" in words:
        native_settings.OPTIMIZERS["adamw"] = "adamw_torch"
    trainer = _trainer(plan, lengths, device)
    trainer.add_callback(clock)
    cast = nullcontext() if "cast" in words else disable_input_dtype_casting(trainer.model, active=trainer.args.bf16)
    with cast:
        trainer.train()


def _trainer(plan: dict[str, Any], lengths: list[list[int]], device: str) -> Any:
    vocabulary = measure._config(plan).get_text_config().vocab_size
    rows = packed_rows([length for each in lengths for length in each], plan["data"]["max_length"], vocabulary)
    return native_trainer.build_trainer(
        plan,
        Path(tempfile.mkdtemp()),
        device,
        measure._stand_in(),
        train=rows,
        validation=None,
        load=measure.random_base,
    )


def bare(plan: dict[str, Any], _: list[str], lengths: list[list[int]], clock: Clock, device: str) -> None:
    """The trainer is built, for its model, and not asked to train."""
    trainer = _trainer(plan, lengths, device)
    model, micro = trainer.model.train(), plan["training"]["micro_batch_size"]
    parts = trainer.train_dataset
    trained = [item for item in model.parameters() if item.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=plan["training"]["learning_rate"], fused=True, weight_decay=0.0)
    autocast = torch.autocast("cuda", torch.bfloat16) if trainer.args.bf16 else nullcontext()
    if trainer.args.gradient_checkpointing:
        model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
        model.enable_input_require_grads()
    count, at = ROWS, 0
    with disable_input_dtype_casting(model, active=trainer.args.bf16):
        for _ in lengths:
            batches = [
                trainer.data_collator([parts[row] for row in range(at + start, at + start + micro)])
                for start in range(0, count, micro)
            ]
            at += count
            items = sum(int((each["labels"] != -100).sum()) for each in batches)
            for batch in batches:
                with autocast:
                    made = model(**{name: to_device(each, device) for name, each in batch.items()}, fused_lm_head=True)
                    loss = -made.log_probs.sum() / items
                loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            clock.on_step_end()


def to_device(value: Any, device: str) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value


def trl(plan: dict[str, Any], _: list[str], lengths: list[list[int]], clock: Clock, device: str) -> None:
    """What a person gets who gives SFTTrainer a model in bfloat16, a LoRA configuration and rows; of its defaults only
    the length is changed, so that it sees the same tokens."""
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    plan = {**plan, "data": {**plan["data"], "packing": False}}
    base = measure.random_base(plan, device)
    vocabulary = base.config.vocab_size
    flat = [length for each in lengths for length in each]
    size = len(lengths[0])
    rows = [torch.randint(vocabulary, (length,)).tolist() for length in flat]
    method = plan["method"]
    adapters = {"rank", "alpha"} <= method.keys()
    on_cpu = {"use_cpu": True, "bf16": False} if device == "cpu" else {}
    trainer = SFTTrainer(
        model=base,
        args=SFTConfig(
            output_dir=tempfile.mkdtemp(),
            max_length=plan["data"]["max_length"],
            max_steps=len(lengths),
            gradient_accumulation_steps=size // 8,
            train_sampling_strategy="sequential",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **on_cpu,
        ),
        train_dataset=Dataset.from_dict({"input_ids": rows, "labels": rows}),
        processing_class=measure._stand_in(),
        peft_config=LoraConfig(
            r=method["rank"], lora_alpha=method["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
        )
        if adapters
        else None,
    )
    trainer.add_callback(clock)
    trainer.train()
