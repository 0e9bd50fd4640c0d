"""Axolotl's YAML read as a recipe: its table backwards, and what one key alone does not say.

Defaults are those of axolotl 0.19.0 (utils/schemas/config.py, core/builders/base.py).
"""

from __future__ import annotations

from math import ceil
from typing import Final, cast

from backends import pinned
from backends.axolotl.reading_data import read_data
from backends.axolotl.reading_keys import ALIASES, BACK, IDLE, MULTIMODAL, REINFORCED, WRITTEN
from backends.axolotl.reading_model import read_method, read_model
from backends.axolotl.reading_training import read_training
from backends.axolotl.table import TRACKERS
from backends.known import known
from backends.leftover import account
from backends.raw_keys import raw_keys
from backends.reading import Config, Reader, Reading, read_table
from backends.sharded_reading import cards, deepspeed, fully_sharded

LIGER: Final = "axolotl.integrations.liger."
SWANLAB: Final = "axolotl.integrations.swanlab."
CUT: Final = "axolotl.integrations.cut_cross_entropy."
LISTS: Final = ("fsdp", "dpo_loss_type", "lora_target_modules", "datasets[].data_files", "datasets[].roles_to_train")
"""Keys that may be lists, whatever the list of keys says of the newest version."""
NAMED: Final = frozenset(
    ("adapter", "load_best_model_at_end", "eval_steps", "save_steps", "use_tensorboard", "num_epochs", "max_steps")
)
"""Keys of one leaf that are read beside others."""


def read(config: Config, count: int | None = None) -> Reading:
    """A config as leaves of a recipe. `count`: the cards that it is trained on, which the file does not say."""
    old = renamed(config)
    as_written = {key: value for key, value in config.items() if key not in old.values()}
    named = {**as_written, **{name: config[key] for name, key in old.items()}}
    reader = Reader(named, known("axolotl", pinned("axolotl")).keys, LISTS)
    _refuse(reader)
    read_model(reader)
    read_method(reader)
    read_data(reader)
    read_training(reader)
    _plugins(reader)
    _cadence(reader)
    _trackers(reader)
    _as_written(reader)
    read_table(reader, BACK, NAMED)
    _sharding(reader, count)
    _defaults(reader)
    account(reader, "axolotl", IDLE)
    return reader.done()


def renamed(config: Config) -> dict[str, str]:
    """Key as it is read → key as it is written, where an older name is used."""
    return {new: old for old, new in ALIASES.items() if config.get(old) is not None and config.get(new) is None}


def _refuse(reader: Reader) -> None:
    """What is another kind of training altogether."""
    rl = reader.get("rl")
    if not reader.has("base_model"):
        reader.note("refused", "base_model", "there is no base_model, so that nothing is trained")
    if rl not in (None, False, "dpo", "ipo", "orpo", "kto"):
        reader.note("refused", "rl", f"{rl} is {REINFORCED.get(str(rl), 'no objective of a recipe')}")
    for key in ("reward_model", "process_reward_model"):
        if reader.true(key):
            reader.note("refused", key, "a reward model is trained, which no recipe can say")
    for key, why in MULTIMODAL.items():
        if reader.get(key) not in (None, False):
            reader.note("refused", key, why)
    if reader.true("gptq"):
        reader.note("refused", "gptq", "a GPTQ base is trained on with kernels that are no more", "use the 16-bit base")
    if reader.has("pretraining_dataset"):
        why = "rows are streamed without end and packed together; a recipe reads files and hub data sets to their end"
        reader.note("refused", "pretraining_dataset", why)


def _as_written(reader: Reader) -> None:
    """What ftc itself writes for Axolotl, whatever the recipe, or what is Axolotl's own default."""
    for key, value, leaf in WRITTEN:
        if reader.get(key) == value and leaf in reader.leaves:
            reader.also(leaf, key)


def _plugins(reader: Reader) -> None:
    """Liger's kernels and cross entropy without logits are leaves; others of Axolotl's own are raw keys."""
    named = reader.get("plugins", [])
    plugins = [str(item) for item in cast("list[object]", named)] if isinstance(named, list) else []
    known = raw_keys("axolotl").plugins or {}
    others = [item for item in plugins if not item.startswith((LIGER, CUT, SWANLAB)) and "." in item]
    refused = [item for item in others if not item.startswith("axolotl.integrations.")]
    refused += [item for item in others if item.rpartition(".")[0] in known]
    liger, cut = (any(item.startswith(what) for item in plugins) for what in (LIGER, CUT))
    if refused:
        reader.note("refused", "plugins", f"{refused[0]} is code that a recipe does not show")
    if any(item.startswith(SWANLAB) for item in plugins):
        reader.idle("ftc reports to trackers of its own list", "plugins", "use_swanlab")
    if others:
        reader.put("targets.axolotl.plugins", others, "plugins")
    cut = cut and reader.get("cut_cross_entropy", True) is not False
    fused = liger and reader.true("liger_fused_linear_cross_entropy")
    if cut or fused or reader.true("chunked_cross_entropy"):
        reader.put("training.loss", "chunked", "plugins", "cut_cross_entropy", "liger_fused_linear_cross_entropy")
        reader.also("training.loss", "chunked_cross_entropy")
    else:
        reader.put("training.loss", "full", "chunked_cross_entropy")
    keys = [key for key in reader.config if key.startswith("liger_") and key != "liger_fused_linear_cross_entropy"]
    if liger and any(reader.true(key) for key in keys):
        reader.put("training.kernels", "liger", "plugins", "liger_fused_linear_cross_entropy", *keys)
    else:
        reader.put("training.kernels", "none", *(("plugins",) if liger else ()))
        reader.idle("without its plugin Axolotl drops it in silence, or it is off", *keys)


def _cadence(reader: Reader) -> None:
    """How often; a number of times an epoch becomes a share of one, or steps where the run is counted in steps."""
    validated = reader.has("test_datasets") or bool(reader.number("val_set_size", 0.0))
    for what, leaf in (("eval", "evaluation.every"), ("save", "checkpoint.every")):
        keys = (f"{what}_steps", f"{what}_strategy", f"{what}s_per_epoch")
        if what == "eval" and not validated:
            reader.idle("there are no validation rows", *keys)
        else:
            reader.put(leaf, _every(reader, what), *keys)
    if reader.true("load_best_model_at_end"):
        reader.put("checkpoint.best", validated, "load_best_model_at_end")
    reader.also("checkpoint.best", "metric_for_best_model", "greater_is_better")


def _every(reader: Reader, what: str) -> object:
    strategy, often = reader.get(f"{what}_strategy"), reader.number(f"{what}s_per_epoch")
    steps, epochs = reader.number(f"{what}_steps"), reader.number("num_epochs", 1.0) or 1.0
    total = reader.number("max_steps") or 0
    if often:
        steps = 1.0 / (often * epochs)
        if steps >= 1:
            steps = None
            if what == "eval" and strategy is None:
                why = "Axolotl never evaluates here: it takes fewer than two evaluations of a run for none"
                reader.note("idle", "evals_per_epoch", why)
    if not steps:
        never = strategy in ("no", False) or (what == "eval" and strategy is None)
        return None if never else "epoch"
    if steps >= 1:
        return int(steps)
    if total > 0:
        return ceil(steps * total)
    share = round(steps * epochs, 9)
    return "epoch" if share == 1 else share if share < 1 else None


def _trackers(reader: Reader) -> None:
    used = ["tensorboard"] if reader.true("use_tensorboard") else []
    for tracker, project in TRACKERS.items():
        switch, run = f"use_{tracker}", "wandb_name" if tracker == "wandb" else f"{tracker}_run_name"
        if reader.true(switch) or (reader.has(project) and reader.get(switch) is not False):
            used.append(tracker)
            if reader.has(project):
                reader.put("logging.project", reader.get(project), project)
        reader.idle("the run is named by the recipe's name", run)
    if used or any(reader.get(f"use_{name}") is False for name in ("tensorboard", *TRACKERS)):
        reader.put("logging.to", used, "use_tensorboard", *(f"use_{name}" for name in TRACKERS), *TRACKERS.values())
    if reader.has("output_dir"):
        reader.put("output.dir", reader.get("output_dir"), "output_dir")
    if reader.has("auto_resume_from_checkpoints") and reader.true("auto_resume_from_checkpoints"):
        reader.put("checkpoint.resume", "auto", "auto_resume_from_checkpoints")


def _sharding(reader: Reader, count: int | None) -> None:
    if reader.get("deepspeed"):
        deepspeed(reader)
    elif reader.has("fsdp_config", "fsdp"):
        fully_sharded(reader)
    cards(reader, count)


def _defaults(reader: Reader) -> None:
    """Where Axolotl's own default is another than ftc's, and the file leaves it to that."""
    for leaf, value in DEFAULTS.items():
        if leaf not in reader.leaves:
            reader.put(leaf, value)


DEFAULTS: Final = {
    "model.attention": "sdpa",
    "data.max_length": 512,
    "data.packing": False,
    "training.micro_batch_size": 1,
    "checkpoint.keep": 4,
    "checkpoint.resume": "never",
}
