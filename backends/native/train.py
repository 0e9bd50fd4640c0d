# pyright: basic, reportPrivateImportUsage=false
# ruff: noqa: E402 (what torch reads as it is imported is set first)
# Strict typing stops at transformers and trl, whose arguments are untyped.
"""Train the run that `plan.json` describes. Written by ftc; it needs nothing of ftc to run.

    python train.py             train, or continue where a run of the same plan was stopped
    python train.py --fresh     train from the start
    python train.py --dry-run   load the model and the data, show what would be trained, and stop

Read from the top: data, trainer, the run, the command line. `settings.py` says what each setting is called by TRL,
`rows.py` and `formats.py` read the data, `data.py` decides which tokens are trained, `model.py` loads the model and
puts the adapters on it, `report.py` and `result.py` write what happened. TRL itself is called in this file alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the imports take seconds: whoever stops them wants no traceback
# The folder of this script is not on the path where Python was started with -P.
sys.path.insert(0, str(HERE))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Threads that wait for each other by spinning make a step eight times slower on a CPU that others use too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
warnings.filterwarnings("ignore", category=FutureWarning)
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

import datasets
import torch
import transformers
from data import IGNORED, Counts, Rules, Tokens, prepare
from datasets import Dataset
from formats import DataError
from model import (
    LORA_KINDS,
    ModelError,
    Plan,
    choose_trained,
    compile_layers,
    load_base,
    load_tokenizer,
    set_adapter_dtype,
    use_liger,
)
from peft.helpers import disable_input_dtype_casting
from peft.optimizers import create_loraplus_optimizer
from report import Finisher, Reporter, closing_words, is_main, write_text
from result import save, summarise
from rows import held_out, read_rows, weighted
from settings import SettingError, settings
from transformers import PrinterCallback, Trainer
from trl import SFTConfig, SFTTrainer, pack_dataset


class RunError(Exception):
    """Why this run cannot start or go on, in words for its owner."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Tokenised rows of both parts, packed where the plan says so, and what became of the rows that were read."""

    train: Dataset
    validation: Dataset | None
    counts: dict[str, dict[str, int]]


# --- data


def load_data(plan: Plan, tokenizer: Any) -> Prepared:
    """Read, part, mask, cut and pack the rows."""
    data, seed = plan["data"], plan["training"]["seed"]
    rules = Rules(data["loss_on"], data["max_length"], data["overlong"])
    templated = plan["model"]["chat_template"] is not None
    rows = read_rows(data["train"], data["system"], templated)
    share = data["validation"]
    if isinstance(share, list):
        kept = read_rows(share, data["system"], templated)
    else:
        numbers = held_out(len(rows), share, seed) if share is not None else frozenset()
        kept = [row for number, row in enumerate(rows) if number in numbers]
        rows = [row for number, row in enumerate(rows) if number not in numbers]
    train, counts = prepare(weighted(rows, seed), tokenizer, rules)
    validation, watched = prepare(kept, tokenizer, rules) if kept else (None, Counts())
    return Prepared(
        _dataset(train, data),
        _dataset(validation, data) if validation else None,
        {"train": asdict(counts), "validation": asdict(watched)},
    )


def _dataset(rows: list[Tokens], data: dict[str, Any]) -> Dataset:
    dataset = Dataset.from_dict({"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows]})
    return pack_dataset(dataset, data["max_length"], "bfd") if data["packing"] else dataset


# --- trainer


class CountingTrainer(SFTTrainer):
    """TRL's trainer, which counts tokens without waiting for the device and takes the loss that the plan names.

    `full`: transformers' own, over all logits. `chunked`: TRL's, or on a CPU, where TRL's kernel is slow, one over the
    logits of trained positions alone, as long as these are few.
    """

    loss_kind = "chunked"
    tokens: torch.Tensor | int = 0

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if model.training:
            mask = inputs.get("attention_mask")
            self.tokens += inputs["input_ids"].numel() if mask is None else mask.sum()
        if self.loss_kind == "full":
            return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)
        if self.args.use_cpu and not self.aux_loss_enabled and _few(inputs["labels"], model):
            return trained_positions_loss(model, inputs, num_items_in_batch)
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


FEW_LOGITS = 1 << 26
"""A quarter of a GiB in float32."""


def _few(labels: torch.Tensor, model: Any) -> bool:
    return int((labels != IGNORED).sum()) * model.config.vocab_size <= FEW_LOGITS


def trained_positions_loss(model: Any, inputs: dict[str, Any], items: torch.Tensor | int | None) -> torch.Tensor:
    """Cross entropy over `items` tokens, the head applied only where a label is: elsewhere it would be thrown away."""
    labels = inputs["labels"][:, 1:]
    wanted = labels != IGNORED
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, hidden: (hidden[0][:, :-1][wanted],))
    try:
        logits = model(**{key: value for key, value in inputs.items() if key != "labels"}, use_cache=False).logits
    finally:
        hook.remove()
    loss = torch.nn.functional.cross_entropy(logits.float(), labels[wanted], reduction="sum")
    return loss / (wanted.sum() if items is None else items)


def build_trainer(plan: Plan, out: Path, device: str, tokenizer: Any, prepared: Prepared) -> CountingTrainer:
    """The model with its adapters, and the trainer around it."""
    config = SFTConfig(**settings(plan, out, device, len(prepared.train)))
    transformers.set_seed(plan["training"]["seed"])
    base = load_base(plan, device)
    if plan["training"]["kernels"] == "liger":
        use_liger(base)
    model = choose_trained(base, plan)
    before = {name: item.detach().clone() for name, item in model.named_parameters() if item.requires_grad}
    trainer = CountingTrainer(
        model=model,
        args=config,
        train_dataset=prepared.train,
        eval_dataset=prepared.validation,
        processing_class=tokenizer,
        callbacks=[Finisher(identity(plan))],
        optimizers=(_lora_plus(plan, model, config), None),
    )
    _restore(trainer.model, before, plan)
    trainer.loss_kind = plan["training"]["loss"]
    trainer.remove_callback(PrinterCallback)
    if plan["training"]["compile"]:
        compile_layers(trainer.model)
    return trainer


def _restore(model: Any, before: dict[str, torch.Tensor], plan: Plan) -> None:
    """TRL rounds the adapters of a quantised base to bfloat16; put back what they were before."""
    for name, parameter in model.named_parameters():
        if name in before:
            parameter.data = before[name]
    if plan["method"]["kind"] in LORA_KINDS:
        set_adapter_dtype(model, plan)


def _lora_plus(plan: Plan, model: Any, config: SFTConfig) -> torch.optim.Optimizer | None:
    """An optimizer that learns B faster than A, where the method asks for it; None: the trainer's own."""
    if plan["method"]["kind"] not in LORA_KINDS or plan["method"]["lora_plus_ratio"] is None:
        return None
    kind, options = Trainer.get_optimizer_cls_and_kwargs(config, model)
    ratio = plan["method"]["lora_plus_ratio"]
    return create_loraplus_optimizer(model, kind, loraplus_lr_ratio=ratio, weight_decay=config.weight_decay, **options)


# --- the run


def identity(plan: Plan) -> str:
    """A hash of all that decides what is computed; where results go and what is reported do not."""
    parts = {key: plan[key] for key in ("name", "model", "method", "data", "training", "hardware")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def place_to_resume(plan: Plan, out: Path, fresh: bool) -> str | None:
    """The checkpoint to go on from: the plan's, or the newest complete one of this very plan."""
    checkpoint = plan["checkpoint"]
    resume = checkpoint["resume"]
    if fresh or resume == "never" or (resume == "auto" and checkpoint["weights_only"]):
        return None
    if resume != "auto":
        if not (Path(resume) / "trainer_state.json").is_file():
            raise RunError(f'checkpoint.resume = "{resume}" is no checkpoint')
        return resume
    marks = [(json.loads(mark.read_text()), mark.parent) for mark in out.glob("checkpoints/*/complete.json")]
    own = [(mark["step"], str(folder)) for mark, folder in marks if mark["plan"] == identity(plan)]
    return max(own)[1] if own else None


def choose_device(plan: Plan) -> str:
    """Where this process trains. Raises `RunError` where the plan wants something that is not here."""
    wanted, training = plan["derived"]["cpu"], plan["training"]
    device = "cpu" if wanted or not torch.cuda.is_available() else f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    world, count = int(os.environ.get("WORLD_SIZE", "1")), plan["hardware"]["count"]
    if world != count or plan["hardware"]["strategy"] not in ("single", "ddp"):
        raise RunError(
            f"the plan is for {count} devices ({plan['hardware']['strategy']}) and {world} were started; "
            f"start it with: torchrun --standalone --nproc-per-node {count} train.py"
        )
    if device == "cpu" and training["kernels"] == "liger":
        raise RunError("training.kernels = liger needs a GPU: its kernels are written in Triton")
    if device == "cpu" and training["gradient_checkpointing"] == "offload":
        raise RunError("training.gradient_checkpointing = offload needs a GPU: it moves activations off it")
    if training["objective"] not in ("sft", "pretrain"):
        raise RunError(f"training.objective = {training['objective']} is not written yet")
    return device


def finished(plan: Plan, out: Path, fresh: bool) -> dict[str, Any] | None:
    """The summary of an earlier run of this very plan that came to its end."""
    path = out / "summary.json"
    if fresh or plan["checkpoint"]["resume"] != "auto" or not path.is_file():
        return None
    summary = json.loads(path.read_text("utf-8"))
    return summary if summary["plan"] == identity(plan) and Path(summary["result"]).is_dir() else None


def run(plan: Plan, folder: Path, *, fresh: bool = False, dry: bool = False) -> dict[str, Any]:
    """Train, and give the summary. `folder` holds the files beside the plan."""
    out = Path(plan["output"]["dir"])
    out.mkdir(parents=True, exist_ok=True)
    device = choose_device(plan)
    resume = place_to_resume(plan, out, fresh)
    tokenizer = load_tokenizer(plan, folder)
    prepared = load_data(plan, tokenizer)
    trainer = build_trainer(plan, out, device, tokenizer, prepared)
    model: Any = trainer.model
    about = {
        "plan": identity(plan),
        "resumed_at": _step(resume) if resume else None,
        "rows": prepared.counts,
        "packed_rows": len(prepared.train) if plan["data"]["packing"] else None,
        "trained_parameters": sum(item.numel() for item in model.parameters() if item.requires_grad),
    }
    if dry:
        return about
    reporter = Reporter(out, device, lambda: int(trainer.tokens) * plan["hardware"]["count"])
    trainer.add_callback(reporter)
    try:
        with disable_input_dtype_casting(model, active=trainer.args.bf16 or trainer.args.fp16):
            trainer.train(resume_from_checkpoint=resume)
    finally:
        reporter.close()
    summary = summarise(plan, trainer.state, reporter, device) | about
    if is_main():
        save(plan, model, tokenizer, out, device)
        write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _step(checkpoint: str) -> int:
    return json.loads((Path(checkpoint) / "trainer_state.json").read_text("utf-8"))["global_step"]


# --- the command line


def main(arguments: list[str] | None = None) -> int:
    """0: trained; 1: it could not, said in a paragraph; 130: stopped by the user."""
    parser = argparse.ArgumentParser(description="Train the run that plan.json describes.")
    parser.add_argument("--plan", type=Path, default=HERE / "plan.json")
    parser.add_argument("--fresh", action="store_true", help="start anew instead of continuing")
    parser.add_argument("--dry-run", action="store_true", help="load model and data, then stop")
    asked = parser.parse_args(arguments)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        print(_told(asked.plan, asked.fresh, asked.dry_run), end="")  # noqa: T201
    except KeyboardInterrupt:
        print("stopped; start it again to go on from the newest checkpoint", file=sys.stderr)  # noqa: T201
        return 130
    except Exception as error:
        print(f"error: {_paragraph(error, asked.plan)}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _told(path: Path, fresh: bool, dry: bool) -> str:
    """Run the plan of this file, and say what came of it; only one process of several has something to say."""
    plan = json.loads(path.read_text("utf-8"))
    before = None if dry else finished(plan, Path(plan["output"]["dir"]), fresh)
    summary = before or run(plan, path.parent, fresh=fresh, dry=dry)
    if not is_main():
        return ""
    if dry:
        return json.dumps(summary, indent=2) + "\n"
    return closing_words(summary) + ("\n  it was finished already; --fresh trains again\n" if before else "\n")


EXPECTED = (DataError, ModelError, RunError, SettingError, ImportError, OSError, json.JSONDecodeError)
"""Errors whose own words say what is wrong."""


def _paragraph(error: Exception, plan: Path) -> str:
    if isinstance(error, EXPECTED):
        return str(error)
    if isinstance(error, torch.OutOfMemoryError):
        planned = json.loads(plan.read_text("utf-8"))["derived"]["memory"]
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info())
        return (
            f"the GPU ran out of memory: planned {planned.get('device_gib')} GiB, the card has {total:.1f} GiB, "
            f"{free:.1f} GiB of them free now. Close what else runs on it, or lower training.micro_batch_size, turn "
            f"training.gradient_checkpointing on, or lower data.max_length. ({str(error).splitlines()[0]})"
        )
    story = plan.with_name("error.log")
    story.write_text("".join(traceback.format_exception(error)), "utf-8")
    return f"{type(error).__name__}: {error} (not foreseen; the whole story is in {story})"


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
