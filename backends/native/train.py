# pyright: basic, reportPrivateImportUsage=false
# ruff: noqa: E402 (what torch reads as it is imported is set first)
# Strict typing stops at transformers and trl, whose arguments are untyped.
"""Train the run that `plan.json` describes. Written by ftc; it needs nothing of ftc to run.

    python train.py             train, or continue where a run of the same plan was stopped
    python train.py --fresh     train from the start
    python train.py --dry-run   load the model and the data, show what would be trained, and stop
    python train.py --measure   take two steps at the largest shape and write how much memory they need, and stop

Read from the top: data, the run, the command line. `trainer.py` is where TRL is called, `settings.py` says what each
setting is called by it, `examine.py` reads the data and decides which tokens are trained, `prepared.py` keeps them for
later runs, `model.py` loads the model and puts the adapters on it, `report.py`, `result.py` and `story.py` write what
happened.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from contextlib import nullcontext, suppress
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
if sys.platform == "linux":
    # Segments that grow keep rows of different length from leaving holes of memory that nothing fits into.
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
warnings.filterwarnings("ignore", category=FutureWarning)
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

import datasets
import torch
import transformers

from backends.native.attention import AttentionError
from backends.native.bottlenecks import BottleneckError
from backends.native.disk import FULL, DiskError
from backends.native.examine import Job, total_bytes
from backends.native.findings import DataError
from backends.native.guards import LossError, StoppedError, Stopper, reading_from
from backends.native.measure import measure, write
from backends.native.merging import MergeError
from backends.native.meter import Meter
from backends.native.methods import inputs_as_they_are
from backends.native.model import ModelError, Plan
from backends.native.prepared import Packing, Prepared, prepared
from backends.native.report import Reporter, closing_words, is_main, reading
from backends.native.result import conclude, summarise
from backends.native.resume import (
    ResumeError,
    alone,
    finished,
    going_on,
    identity,
    keep_on,
    place_to_resume,
    recipe_of,
    step_of,
)
from backends.native.room import is_short, shortage
from backends.native.samples import Samples
from backends.native.settings import SettingError
from backends.native.spread import SpreadError, agree, begin, by_itself, require_all, require_parted, whole_state
from backends.native.story import Story, origin
from backends.native.tokenizer import TokenizerError, load_tokenizer
from backends.native.trackers import record
from backends.native.trainer import build_trainer

CACHE = ".prepared"
"""Beside the folders of the runs, so that all of them find it."""


class RunError(Exception):
    """Why this run cannot start or go on, in words for its owner."""


# --- data


def load_data(plan: Plan, tokenizer: Any) -> Prepared:
    """The rows read, parted, masked, cut and packed: prepared now, or found where an earlier run left them."""
    data, job = plan["data"], Job.of(plan)
    # Shapes that never change are what a compiled model wants.
    filler = tokenizer.pad_token_id if plan["training"]["compile"] else None
    packing = Packing(data["max_length"], filler) if data["packing"] else Packing(None, None)
    with reading("preparing rows", total_bytes(job)) as advance:
        return prepared(job, packing, tokenizer, Path(plan["output"]["dir"]).parent / CACHE, advance)


# --- the run


def choose_device(plan: Plan) -> str:
    """Where this process trains. Raises `RunError` where the plan wants something that is not here."""
    wanted, training = plan["derived"]["cpu"], plan["training"]
    device = "cpu" if wanted or not torch.cuda.is_available() else f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    require_all(plan)
    if device == "cpu" and training["kernels"] == "liger":
        raise RunError("training.kernels = liger needs a GPU: its kernels are written in Triton")
    if device == "cpu" and training["gradient_checkpointing"] == "offload":
        raise RunError("training.gradient_checkpointing = offload needs a GPU: it moves activations off it")
    return device


def run(plan: Plan, folder: Path, *, fresh: bool = False, dry: bool = False) -> dict[str, Any]:
    """Train, and give the summary. `folder` holds the files beside the plan."""
    out = Path(plan["output"]["dir"])
    out.mkdir(parents=True, exist_ok=True)
    device = choose_device(plan)
    resume = place_to_resume(plan, out, fresh)
    tokenizer = load_tokenizer(plan, folder)
    rows = load_data(plan, tokenizer)
    begin(plan, device)
    agree(plan, resume)
    transformers.set_seed(plan["training"]["seed"])
    meter = Meter(device)
    trainer = build_trainer(plan, out, device, tokenizer, train=rows.train, validation=rows.validation)
    require_parted(plan, trainer)
    model: Any = trainer.model
    about = {
        "plan": identity(plan),
        "resumed_at": step_of(resume) if resume else None,
        "rows": rows.counts,
        "findings": rows.met,
        "prepared": str(rows.folder),
        "packed_rows": len(rows.train) if plan["data"]["packing"] else None,
        "trained_parameters": sum(item.numel() for item in model.parameters() if item.requires_grad),
    }
    if dry:
        return about
    stopper = Stopper()
    trainer.add_callback(stopper)
    keep_on(trainer, plan, out, resume)
    reporter = Reporter(out, meter, lambda: trainer.seen)
    story = None
    if is_main():
        story = Story(plan, folder, about, reporter, Samples(plan, about["plan"], tokenizer, rows))
        trainer.add_callback(story)
    trainer.add_callback(meter)
    trainer.add_callback(reporter)
    record(trainer, origin(plan, folder))
    with story.told(trainer) if story else nullcontext():
        try:
            casting = inputs_as_they_are(model, active=trainer.args.bf16 or trainer.args.fp16)
            with casting, reading_from(rows.folder):
                trainer.train(resume_from_checkpoint=resume)
            trainer.require_sound()
        finally:
            reporter.close()
            stopper.close()
        if stopper.asked is not None:
            raise StoppedError(stopper.asked, trainer.state.global_step, going_on(plan, fresh=fresh))
        if story:
            story.ask(trainer)
        summary = summarise(plan, trainer, reporter, device) | about | recipe_of(plan)
        state = whole_state(trainer)
        if story:
            by_itself(plan)
            conclude(plan, model, tokenizer, out, summary, state=state)
            story.finish(summary)
    return summary


# --- the command line


def main(arguments: list[str] | None = None) -> int:
    """0: trained; 1: it could not, said in a paragraph; 130, 143: stopped by the user, or by who ends processes."""
    parser = argparse.ArgumentParser(description="Train the run that plan.json describes.")
    parser.add_argument("--plan", type=Path, default=HERE / "plan.json")
    parser.add_argument("--fresh", action="store_true", help="start anew instead of continuing")
    parser.add_argument("--dry-run", action="store_true", help="load model and data, then stop")
    parser.add_argument("--measure", action="store_true", help="take two steps at the largest shape, read the memory")
    parser.add_argument("--random-weights", action="store_true", help="with --measure: of the base read config.json")
    asked = parser.parse_args(arguments)
    if asked.random_weights and not asked.measure:
        parser.error("--random-weights is for --measure")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        told = (
            _measured(asked.plan, asked.random_weights)
            if asked.measure
            else _told(asked.plan, asked.fresh, asked.dry_run)
        )
        print(told, end="")
    except StoppedError as stopped:
        _say(stopped, of_all=True)
        return 128 + stopped.number
    except KeyboardInterrupt:
        on = "nothing was written" if asked.measure or asked.dry_run else going_on(_plan(asked.plan), fresh=asked.fresh)
        _say(f"stopped; {on}", of_all=True)
        return 130
    except Exception as error:
        _say(f"error: {_paragraph(error, asked)}", of_all=isinstance(error, ResumeError))
        return 1
    return 0


def _say(what: object, *, of_all: bool) -> None:
    """`of_all`: every process says the same, so one of them does. The terminal may be gone by now."""
    if is_main() or not of_all:
        with suppress(OSError):
            print(what, file=sys.stderr)


def _plan(path: Path) -> Plan:
    return json.loads(path.read_text("utf-8"))


def _told(path: Path, fresh: bool, dry: bool) -> str:
    """Run the plan of this file, and say what came of it; only one process of several has something to say."""
    plan = _plan(path)
    out = Path(plan["output"]["dir"])
    with nullcontext() if dry or not is_main() else alone(out):
        before = None if dry else finished(plan, out, fresh)
        summary = before or run(plan, path.parent, fresh=fresh, dry=dry)
    if not is_main():
        return ""
    if dry:
        return json.dumps(summary, indent=2) + "\n"
    return closing_words(summary) + ("\n  it was finished already; --fresh trains again\n" if before else "\n")


def _measured(path: Path, random: bool) -> str:
    """Measure the plan of this file, and say what was read."""
    plan = _plan(path)
    device = choose_device(plan)
    if plan["training"]["objective"] not in ("sft", "pretrain"):
        raise RunError(
            f"--measure knows the shapes of sft and pretrain, not yet those of {plan['training']['objective']}"
        )
    if device == "cpu" and not plan["derived"]["cpu"]:
        raise RunError(
            "the plan is for a GPU, and there is none here: main memory says little of it. "
            "Measure where the GPU is, or set hardware.gpu = cpu"
        )
    told = write(measure(plan, path.parent, device, random=random), Path(plan["output"]["dir"]))
    return told + "\n" if is_main() else ""


EXPECTED = (
    *(AttentionError, BottleneckError, DataError, DiskError, LossError, MergeError, ModelError, ResumeError),
    *(RunError, SettingError, SpreadError, TokenizerError, ImportError, OSError, json.JSONDecodeError),
)
"""Errors whose own words say what is wrong."""


def _paragraph(error: Exception, asked: argparse.Namespace) -> str:
    if isinstance(error, DiskError) or (isinstance(error, OSError) and error.errno in FULL):
        then = going_on(_plan(asked.plan), fresh=asked.fresh)
        return f"{error}. Free space, or set output.dir elsewhere; {then}"
    if isinstance(error, EXPECTED):
        return str(error)
    if is_short(error):
        plan = _plan(asked.plan)
        return f"{shortage(error, plan)}\nChange that, and {going_on(plan, fresh=asked.fresh)}"
    story, told = asked.plan.with_name("error.log"), f"{type(error).__name__}: {error} (not foreseen"
    with suppress(OSError):
        story.write_text("".join(traceback.format_exception(error)), "utf-8")
        return f"{told}; the whole story is in {story})"
    return f"{told})"


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
