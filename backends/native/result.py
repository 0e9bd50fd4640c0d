# pyright: basic
# Strict typing stops at transformers and peft, whose classes are made at run time.
"""The end of a run: what was trained is saved, whole or not at all, and what happened is summed up.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from backends.native.bottlenecks import save_bottlenecks
from backends.native.disk import write_folder
from backends.native.model import Plan, load_base
from backends.native.report import Reporter, measured_memory, versions
from backends.native.spread import devices
from backends.native.vocabulary import make_room


def save(plan: Plan, model: Any, tokenizer: Any, out: Path, state: dict[str, Any] | None = None) -> None:
    """What was trained, and beside it the merged model where the plan asks for one. `state`: all weights, where the
    model holds only a part of each."""

    # PEFT looks on the hub whether the embeddings were resized, unless it is told that they were not.
    options: dict[str, Any] = {}
    if isinstance(model, PeftModel):
        # Another one may be there, as the reference that answers are compared by.
        options = {"save_embedding_layers": False, "selected_adapters": [model.active_adapter]}

    def write(folder: Path) -> None:
        if plan["method"]["kind"] == "adapter":
            save_bottlenecks(model, folder, state=state)
        else:
            model.save_pretrained(str(folder), state_dict=state, **options)
        tokenizer.save_pretrained(folder)

    result = result_folder(plan, out)
    write_folder(result, write)
    if plan["output"]["merge"] and isinstance(model, PeftModel):
        merge(plan, result, tokenizer, out / "merged")


def merge(plan: Plan, adapter: Path, tokenizer: Any, target: Path) -> None:
    """The adapter merged into a base loaded without quantisation: into 4 bit it would not survive. One that makes up
    for the base's quantisation is merged into the weights that are left of it.

    In main memory: on the card it would stand beside the model that was trained, which the plan did not allow for.
    """
    of_error = plan["method"].get("init") == "loftq"
    base = load_base(plan, "cpu", quantized=of_error)
    make_room(base, plan, tokenizer)
    merged = PeftModel.from_pretrained(base.dequantize() if of_error else base, str(adapter)).merge_and_unload()

    def write(folder: Path) -> None:
        merged.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    write_folder(target, write)


def result_folder(plan: Plan, out: Path) -> Path:
    """`adapter`, in PEFT's own format where that has the method, or `model` where the base itself was trained."""
    return out / ("model" if plan["method"]["kind"] == "full" else "adapter")


def work(plan: Plan, trainer: Any, speed: float) -> dict[str, float | None]:
    """TFLOP/s of one device and their share of its data sheet's, at so many tokens a second of all devices. Counted are
    the model's own operations (4 a token for a frozen weight), not what is computed again."""
    flops, tokens = plan["derived"]["flops"], int(trainer.tokens)
    if not tokens:
        return {"tflops": None, "of_peak": None}
    done = speed / devices(plan) * (flops["token"] + flops["pair"] * float(trainer.pairs) / tokens)
    return {"tflops": round(done / 1e12, 3), "of_peak": round(done / flops["peak"], 4) if flops["peak"] else None}


def summarise(plan: Plan, trainer: Any, reporter: Reporter, device: str) -> dict[str, Any]:
    """What was planned and what happened."""
    state = trainer.state
    losses, watched, tokens = reporter.losses("loss"), reporter.losses("eval_loss"), reporter.tokens
    return {
        "name": plan["name"],
        "device": device if device == "cpu" else torch.cuda.get_device_name(),
        "steps": state.global_step,
        "epochs": state.epoch,
        "tokens": tokens,
        "seconds": round(reporter.elapsed, 2),
        "tokens_per_second": round(reporter.speed, 1),
        **work(plan, trainer, reporter.speed),
        "loss": {
            "first": losses[0] if losses else None,
            "last": losses[-1] if losses else None,
            "first_validation": watched[0] if watched else None,
            "last_validation": watched[-1] if watched else None,
            "best_validation": min(watched, default=None),
        },
        "memory": {"planned": plan["derived"]["memory"], "measured": measured_memory(device)},
        "versions": versions(),
        "result": str(result_folder(plan, Path(plan["output"]["dir"]))),
    }
