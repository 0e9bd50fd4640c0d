# pyright: basic
# Strict typing stops at transformers and peft, whose classes are made at run time.
"""The end of a run: what was trained is saved, whole or not at all, and what happened is summed up.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from backends.native.bottlenecks import save_bottlenecks
from backends.native.card import model_card
from backends.native.disk import write_folder, write_text
from backends.native.merging import MergeError, merge, stop_where_answers_end
from backends.native.model import Plan
from backends.native.report import Reporter, versions
from backends.native.serving import serving_files
from backends.native.spread import devices

PLAN, SUMMARY, MERGED = "plan.json", "summary.json", "merged"
State = dict[str, Any] | None
"""All weights, where the model holds only a part of each."""


def conclude(plan: Plan, model: Any, tokenizer: Any, out: Path, summary: dict[str, Any], *, state: State) -> None:
    """Everything that stays of a run. The summary comes last: where it is, the rest is there and belongs together.

    Then the merged model, where the plan asks for one. It is looked at, and may be refused: then the adapter is there.
    """
    (out / SUMMARY).unlink(missing_ok=True)
    save(plan, model, tokenizer, out, model_card(plan, summary, result_folder(plan, out).name), state=state)
    write_text(out / PLAN, json.dumps(plan, indent=2, sort_keys=True) + "\n")
    for name, text in serving_files(plan, tokenizer).items():
        write_text(out / name, text)
    write_text(out / SUMMARY, json.dumps(summary, indent=2) + "\n")
    if plan["output"]["merge"]:
        try:
            merge(plan, result_folder(plan, out), out / MERGED, model_card(plan, summary, MERGED))
        except MergeError as error:
            raise MergeError(f"{error}. What was trained is in {result_folder(plan, out)}") from error


def save(plan: Plan, model: Any, tokenizer: Any, out: Path, card: str = "", *, state: State = None) -> None:
    """What was trained, with what it needs to be loaded."""

    # PEFT looks on the hub whether the embeddings were resized, unless it is told that they were not.
    options: dict[str, Any] = {}
    if isinstance(model, PeftModel):
        # Another one may be there, as the reference that answers are compared by.
        options = {"save_embedding_layers": False, "selected_adapters": [model.active_adapter]}

    def write(folder: Path) -> None:
        if plan["method"]["kind"] == "adapter":
            save_bottlenecks(model, folder, state=state)
        else:
            if plan["method"]["kind"] == "full":
                stop_where_answers_end(model, tokenizer)
            model.save_pretrained(str(folder), state_dict=state, **options)
        tokenizer.save_pretrained(folder)
        (folder / "README.md").write_text(card, "utf-8")

    write_folder(result_folder(plan, out), write)


def result_folder(plan: Plan, out: Path) -> Path:
    """`adapter`, in PEFT's own format where that has the method, or `model` where the base itself was trained."""
    return out / ("model" if plan["method"]["kind"] == "full" else "adapter")


def work(plan: Plan, trainer: Any, speed: float) -> dict[str, float | None]:
    """TFLOP/s of one device and their share of its data sheet's, at so many tokens a second of all devices. Counted are
    the model's own operations (4 a token for a frozen weight), not what is computed again."""
    flops, tokens = plan["derived"]["flops"], int(trainer.tokens)
    if not tokens:
        return {"tflops": None, "of_peak": None}
    kept = flops["gradient"] and flops["gradient"] * (1 - _trained_share(trainer.model))
    done = speed / devices(plan) * (flops["token"] - kept + flops["pair"] * float(trainer.pairs) / tokens)
    return {"tflops": round(done / 1e12, 3), "of_peak": round(done / flops["peak"], 4) if flops["peak"] else None}


def _trained_share(model: Any) -> float:
    """Of the weights in products. An embedding is in none, unless it is the head too."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    apart = None if head is None or head.weight is embedding.weight else embedding.weight
    sizes = [
        (getattr(item, "ds_numel", item.numel()), item.requires_grad)  # DeepSpeed leaves nothing of a parted one
        for item in model.parameters()
        if item.ndim > 1 and item is not apart
    ]
    return sum(size for size, trained in sizes if trained) / sum(size for size, _ in sizes)


def device_name(device: str) -> str:
    """The card's name, or "cpu"."""
    return device if device == "cpu" else torch.cuda.get_device_name(torch.device(device))


def summarise(plan: Plan, trainer: Any, reporter: Reporter, device: str) -> dict[str, Any]:
    """What was planned and what happened."""
    state = trainer.state
    losses, watched, tokens = reporter.losses("loss"), reporter.losses("eval_loss"), reporter.tokens
    return {
        "name": plan["name"],
        "device": device_name(device),
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
            "best_validation": min(filter(isfinite, watched), default=None),
        },
        "memory": {
            "planned": plan["derived"]["memory"],
            "measured": reporter.meter.measured(),
            "phases": reporter.meter.by_phase(),
        },
        "versions": versions(),
        "result": str(result_folder(plan, Path(plan["output"]["dir"]))),
    }
