"""What LLaMA-Factory makes of an artifact: whether its own parser takes it, and the trainer that its own code builds.

Run by LLaMA-Factory's Python with the folders of artifacts. The YAML path of its parser checks neither types nor
choices, so each value goes through the command line's parser as well.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers
from accelerate.state import AcceleratorState
from llamafactory.data.parser import get_dataset_list
from llamafactory.data.template import TEMPLATES
from llamafactory.hparams import parser
from llamafactory.train import tuner
from omegaconf import OmegaConf
from pretend import a_card, reached, stop_at_training
from reading import Values, projects, read
from reading_model import read_model
from reading_rows import read_rows
from sharding import launched, zero
from shared_config import RUN, copy_to_run
from transformers import HfArgumentParser, TrainingArguments
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.training_args import ParallelMode
from worker import Report, serve

ENTRY = {"file_name", "hf_hub_url", "subset", "split", "formatting", "columns", "tags", "ranking"}
COLUMNS = {"prompt", "query", "response", "messages", "system", "tools", "chosen", "rejected", "kto_tag"}
TAGS = {"role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag"}


def check(told: dict[str, Any]) -> Report:
    """What is wrong with the artifact; where nothing is, what the tool makes of it."""
    os.environ.update(told["command"]["environment"])
    with on_its_cards():
        wrong = parsed("config.yaml")
    return {"wrong": wrong} if wrong else {"wrong": [], "effective": effective(told)}


# --- whether it is taken


@contextlib.contextmanager
def on_its_cards() -> Iterator[None]:
    """As one of several processes: the parser asks whether it is one, where DeepSpeed or FSDP is used."""
    mode, before = TrainingArguments.parallel_mode, dict(os.environ)
    TrainingArguments.parallel_mode = property(lambda _: ParallelMode.DISTRIBUTED)
    try:
        yield
    finally:
        TrainingArguments.parallel_mode = mode
        os.environ.clear()
        os.environ.update(before)
        unset_hf_deepspeed_config()
        AcceleratorState._reset_state(reset_partial_state=True)


def parsed(path: str) -> list[str]:
    """What is wrong with the config and the datasets; nothing where they are accepted."""
    written = OmegaConf.to_container(OmegaConf.load(path))
    sys.argv = ["llamafactory-cli", path]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            arrived = parser.get_train_args()
    except (Exception, SystemExit) as error:
        return [f"{type(error).__name__}: {error}"]
    return [*typed(written), *changed(written, arrived), *datasets(written)]


def typed(written: dict[str, object]) -> list[str]:
    """Values that the command line would not take: it looks at types and choices."""
    found: list[str] = []
    for key, value in written.items():
        first = value[0] if isinstance(value, list) else value
        words = [json.dumps(first) if isinstance(first, dict | bool) else str(first)]
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.suppress(Exception):
            required = ["--output_dir=out", "--model_name_or_path=base"]
            try:
                HfArgumentParser(parser._TRAIN_ARGS).parse_args([*required, f"--{key}", *words])
            except SystemExit:
                found.append(f"{key}: {value!r}: {said.getvalue().strip().splitlines()[-1]}")
    return found


COMPUTED = {"cutoff_len", "packing", "lora_target", "additional_target", "dataset", "eval_dataset", "report_to"}
COMPUTED |= {"add_tokens", "resume_from_checkpoint"}
"""Read into another form: names parted at commas, the length less one where rows are packed."""


def changed(written: dict[str, object], arrived: tuple[object, ...]) -> list[str]:
    """Values that do not arrive as they are written."""
    seen = {field.name: getattr(part, field.name) for part in arrived for field in dataclasses.fields(part)}
    pairs = ((key, value, seen.get(key)) for key, value in written.items() if key not in COMPUTED)
    return [
        f"{key}: {value!r} arrives as {item!r}" for key, value, item in pairs if getattr(item, "value", item) != value
    ]


def datasets(written: dict[str, object]) -> list[str]:
    """Unknown words in `dataset_info.json`, which are ignored, and a template that is not registered."""
    folder = Path(str(written["dataset_dir"]))
    names = [name for key in ("dataset", "eval_dataset") for name in str(written.get(key) or "").split(",") if name]
    get_dataset_list(names, str(folder))
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    template = written.get("template")
    found = [f"template: {template!r} is not registered"] if template and template not in TEMPLATES else []
    for name in names:
        entry = info[name]
        words = [*(set(entry) - ENTRY), *(set(entry["columns"]) - COLUMNS), *(set(entry.get("tags", ())) - TAGS)]
        found += [f"dataset_info.json: {word} of {name} is ignored" for word in words]
        if "file_name" in entry and not (folder / entry["file_name"]).is_file():
            found.append(f"dataset_info.json: {entry['file_name']} is not there")
    return found


# --- what it comes to


def effective(told: dict[str, Any]) -> Values:
    """What its own code builds, up to where training begins."""
    written = copy_to_run(told)
    sys.argv = ["llamafactory-cli", RUN]
    kept: list[tuple[Any, ...]] = []
    real = parser.get_train_args
    tuner.get_train_args = lambda args: kept.append(real(args)) or kept[-1]
    found = reached(tuner.run_exp)
    model_args, data_args, _, finetuning_args, _ = kept[-1]
    trainer = found.trainer
    model = read_model(trainer)
    return {
        **read(trainer, found.resume, told["steps"]),
        **model,
        "train": read_rows(trainer.train_dataset, trainer.processing_class),
        "validation": read_rows(trainer.eval_dataset, trainer.processing_class),
        "data.max_length": data_args.cutoff_len + int(bool(data_args.packing)),
        "data.packing": bool(data_args.packing) and ("apart" if data_args.neat_packing else "together"),
        **objective(trainer, finetuning_args),
        "training.gradient_checkpointing": recomputation(model_args, on=model["training.gradient_checkpointing"]),
        "model.revision": model_args.model_revision,
        "model.trust_remote_code": model_args.trust_remote_code,
        "logging.project": projects(trainer.args),
        **sharding(written, told, trainer),
    }


def objective(trainer: Any, args: Any) -> Values:
    """Its stage; ORPO is one of the losses of its DPO stage."""
    if args.stage not in ("dpo", "kto"):
        return {"training.objective": "sft" if args.stage == "pt" else args.stage}
    loss = args.pref_loss if args.stage == "dpo" else None
    return {
        "training.objective": "orpo" if loss == "orpo" else args.stage,
        "training.preference.beta": trainer.beta,
        "training.preference.loss": None if loss == "orpo" else loss,
        "training.preference.mixed": trainer.ftx_gamma,
        "training.preference.smoothing": getattr(trainer, "label_smoothing", 0.0),
    }


def recomputation(args: Any, *, on: bool) -> bool | str:
    return "offload" if on and args.use_unsloth_gc else on


def sharding(written: dict[str, object], told: dict[str, Any], trainer: Any) -> Values:
    """Told to several cards, by DeepSpeed's file or accelerate's; the run here has none of it."""
    if written.get("deepspeed"):
        return zero(str(written["deepspeed"]), trainer.args)
    words = told["command"]["words"]
    return launched(words[2:]) if words[:2] == ["accelerate", "launch"] else {}


if __name__ == "__main__":
    a_card(parser)
    transformers.utils.is_flash_attn_2_available = lambda: True
    stop_at_training()
    transformers.utils.logging.set_verbosity_error()
    serve(check)
