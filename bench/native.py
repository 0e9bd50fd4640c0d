# pyright: basic
"""Steps of the native run on a CPU, against a bare loop of the same steps and TRL's own trainer at its defaults.

    python bench/native.py            # ends 1 where the native run is beyond its limits
    python bench/native.py --write    # bench/results/native.json too

Same base, same adapters, same token ids, turn by turn in one process; a step's time is that between two ends of steps.
Ratios are of medians. The limit of the bare loop holds for steps of 190 ms and more: what a trainer adds is a time, not
a share.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import datasets
import torch
import transformers
from datasets import Dataset
from transformers import TrainerCallback, set_seed

from backends.native.methods import inputs_as_they_are
from backends.native.report import versions
from backends.native.tokenizer import load_tokenizer
from backends.native.trainer import build_trainer, trained_positions_loss
from compiler.build import Options, compile_recipe

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "quickstart" / "quickstart.ftc.yaml"
ROWS, LENGTH, ASKED = 16, 192, 96
"""Of a step; tokens of a row; of them the prompt's, which are not trained."""
WARM, TIMED, TURNS = 2, 8, 3
MOST_OVER_BARE, LONG_ENOUGH = 1.10, 0.190
Way = Callable[[dict[str, Any], Dataset, "Clock"], None]


class Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def seconds(self) -> list[float]:
        return [end - begin for begin, end in pairwise(self.ends[WARM - 1 :])]


def planned() -> dict[str, Any]:
    """The quickstart's plan, its LoRA on rows of one length."""
    sets = (
        f"training.max_steps={WARM + TIMED}",
        f"training.global_batch_size={ROWS}",
        f"training.micro_batch_size={ROWS}",
        f"data.max_length={LENGTH}",
        *("evaluation.every=null", "checkpoint.every=null", "logging.every=1", "data.packing=false"),
        *("data.shuffle=false", "hardware.gpu=cpu"),
    )
    text = RECIPE.read_text("utf-8").replace("epochs", "# epochs")
    made = compile_recipe("quickstart", text, RECIPE.parent, Options("native", sets=sets, emit=True))
    if made.artifact is None:
        raise SystemExit("\n".join(str(item) for item in made.diagnostics))
    return json.loads(made.artifact.files["plan.json"])


def made_up_rows() -> Dataset:
    """Random tokens, the second half of each row to be learnt."""
    set_seed(0)
    count = ROWS * (WARM + TIMED)
    ids = [torch.randint(5, 2000, (LENGTH,)).tolist() for _ in range(count)]
    return Dataset.from_dict({"input_ids": ids, "labels": [[-100] * ASKED + each[ASKED:] for each in ids]})


def _trainer(plan: dict[str, Any], rows: Dataset) -> Any:
    set_seed(0)
    tokenizer = load_tokenizer(plan, RECIPE.parent)
    return build_trainer(plan, Path(tempfile.mkdtemp()), "cpu", tokenizer, train=rows, validation=None)


def native(plan: dict[str, Any], rows: Dataset, clock: Clock) -> None:
    trainer = _trainer(plan, rows)
    trainer.add_callback(clock)
    with inputs_as_they_are(trainer.model, active=trainer.args.bf16):
        trainer.train()


def bare(plan: dict[str, Any], rows: Dataset, clock: Clock) -> None:
    """The trainer is built, for its model and its batches, and not asked to train."""
    trainer = _trainer(plan, rows)
    model = trainer.model.train()
    trained = [item for item in model.parameters() if item.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=plan["training"]["learning_rate"], fused=True, weight_decay=0.0)
    head = model.get_base_model().get_output_embeddings()
    for start in range(0, len(rows), ROWS):
        batch = trainer.data_collator([rows[at] for at in range(start, start + ROWS)])
        if plan["training"]["loss"] == "full":
            loss = model(**batch, use_cache=False).loss
        else:
            loss = trained_positions_loss(model, head, batch, None)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, plan["training"]["max_grad_norm"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock.on_step_end()


def trl(plan: dict[str, Any], rows: Dataset, clock: Clock) -> None:
    """What SFTTrainer does by itself; said are only what to train and how many rows a step has."""
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    set_seed(0)
    method = plan["method"]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(plan["model"]["base"]),
        args=SFTConfig(
            output_dir=tempfile.mkdtemp(),
            max_steps=WARM + TIMED,
            per_device_train_batch_size=ROWS,
            train_sampling_strategy="sequential",
            **{"use_cpu": True, "bf16": False, "save_strategy": "no", "report_to": "none", "disable_tqdm": True},
        ),
        train_dataset=rows,
        processing_class=load_tokenizer(plan, RECIPE.parent),
        peft_config=LoraConfig(r=method["rank"], lora_alpha=method["alpha"], target_modules=method["target_modules"]),
    )
    trainer.add_callback(clock)
    trainer.train()


WAYS: dict[str, Way] = {"bare": bare, "native": native, "trl": trl}


def main() -> int:
    parser = argparse.ArgumentParser(description="Steps of the native run against others.")
    parser.add_argument("--write", action="store_true", help="write bench/results/native.json")
    asked = parser.parse_args()
    for library in (transformers.logging, datasets.utils.logging):
        library.set_verbosity_error()
    plan = planned()
    rows = made_up_rows()
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(TURNS):
        for name, way in WAYS.items():
            clock = Clock()
            way(plan, rows, clock)
            seconds[name] += clock.seconds()
    return _told(seconds, plan, write=asked.write)


def _told(seconds: dict[str, list[float]], plan: dict[str, Any], *, write: bool) -> int:
    middle = {name: median(each) for name, each in seconds.items()}
    for name, each in seconds.items():
        said = f"{middle[name] * 1e3:7.1f} ms a step ({min(each) * 1e3:.1f} to {max(each) * 1e3:.1f})"
        print(f"{name:8} {said}, {middle[name] / middle['bare']:.2f} of the bare loop")
    over, against = middle["native"] / middle["bare"], middle["trl"] / middle["native"]
    print(f"native over bare {over:.3f} (at most {MOST_OVER_BARE}), TRL over native {against:.2f}")
    if middle["bare"] < LONG_ENOUGH:
        print(f"a step is shorter than {LONG_ENOUGH * 1e3:.0f} ms: the limit is for longer ones")
    if write:
        found = {"loss": plan["training"]["loss"], "tokens": ROWS * LENGTH, "versions": versions(), "seconds": seconds}
        (ROOT / "bench" / "results" / "native.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0 if over <= MOST_OVER_BARE and against > 1 else 1


if __name__ == "__main__":
    sys.exit(main())
