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

import os
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import measure  # pyright: ignore[reportMissingImports] (of the artifact, as what follows)
import model as native_model  # pyright: ignore[reportMissingImports]
import settings as native_settings  # pyright: ignore[reportMissingImports]
import torch
import trainer as native_trainer  # pyright: ignore[reportMissingImports]
from datasets import Dataset
from methods import inputs_as_they_are  # pyright: ignore[reportMissingImports]
from steps import ROWS, TIMED, WARM, Clock, documents, said
from transformers import TrainerCallback, set_seed


def packed_rows(lengths: list[int], longest: int, vocabulary: int) -> Dataset:
    """Full rows, each with the lengths of its documents."""
    rows: list[list[int]] = [[]]
    for length in lengths:
        if sum(rows[-1]) == longest:
            rows.append([])
        rows[-1].append(length)
    ids = [torch.randint(vocabulary, (longest,)).tolist() for _ in rows]
    return Dataset.from_dict({"input_ids": ids, "labels": ids, "seq_lengths": rows})


class Profile(TrainerCallback):
    """Where the time of the last step goes, by kernel: written, the longest first."""

    def __init__(self, step: str) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        if state.global_step == args.max_steps - 1:
            self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self.profiler.start()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        torch.cuda.synchronize()
        self.profiler.stop()
        table = self.profiler.key_averages().table(
            sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=90
        )
        Path(os.environ.get("OUT", ".")).joinpath(f"profile-{self.step}.txt").write_text(table)


def run(plan: dict[str, Any], step: str, rows: str, device: str) -> dict[str, Any]:
    """Train, and say how fast: tokens that are no padding a second, and the model's own operations."""
    words = step.split("+")
    steps = WARM + TIMED + ("profile" in words)
    wanted = documents(rows, plan["data"]["max_length"])
    # TRL takes eight rows at once.
    lengths = [wanted[: len(wanted) // 8 * 8] if words[0] == "trl" else wanted] * steps
    set_seed(0)
    clock = Clock()
    way = {"native": native, "bare": bare, "trl": trl}[words[0]]
    way(_plan(plan, words, steps), words, lengths, clock, device)
    return said(plan, lengths[0], clock)


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
        native_model.attention = lambda *_: "sdpa"
    if "foreach" in words:
        native_settings.OPTIMIZERS["adamw"] = "adamw_torch"
    trainer = _trainer(plan, lengths, device)
    trainer.add_callback(clock)
    if "profile" in words:
        trainer.add_callback(Profile("-".join(words)))
    cast = nullcontext() if "cast" in words else inputs_as_they_are(trainer.model, active=trainer.args.bf16)
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
    with inputs_as_they_are(model, active=trainer.args.bf16):
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
