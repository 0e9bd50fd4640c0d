"""LLaMA-Factory's objective, steps, schedule and optimizer, read as a recipe's."""

from __future__ import annotations

from typing import Final, cast

from backends.base import spelled
from backends.llamafactory.reading_method import BACK
from backends.reading import Reader, whole

OPTIMIZERS: Final = {
    "adamw_torch": "adamw",
    "adamw_hf": "adamw",
    "adamw_bnb_8bit": "adamw_8bit",
    "adamw_8bit": "adamw_8bit",
}
"""Other names of transformers' for the same."""


def read_objective(reader: Reader) -> None:
    stage = str(reader.get("stage", "sft"))
    loss = str(reader.get("pref_loss", "sigmoid"))
    reader.put("training.objective", stage if stage in ("dpo", "kto") else "sft", "stage", "do_train")
    if stage not in ("dpo", "kto"):
        reader.idle("nothing is compared", *(key for key in reader.config if key.startswith("pref_")))
        return
    if stage == "dpo" and loss == "orpo":
        reader.put("training.objective", "orpo", "stage", "pref_loss", "do_train")
    elif stage == "dpo" and loss in ("sigmoid", "ipo", "hinge"):
        reader.put("training.preference.loss", loss, "pref_loss")
    elif stage == "dpo":
        reader.note("refused", "pref_loss", f"{loss} is none of sigmoid, ipo, hinge and orpo")
    reader.put("training.preference.beta", reader.number("pref_beta", 0.1), "pref_beta")
    for key, usual in (("pref_ftx", 0.0), ("dpo_label_smoothing", 0.0), ("kto_chosen_weight", 1.0)):
        if reader.number(key, usual) == usual:
            reader.idle("it is off, or the usual weight", key)
    if reader.number("kto_rejected_weight", 1.0) == 1.0:
        reader.idle("it is the usual weight", "kto_rejected_weight")


def read_training(reader: Reader) -> None:
    keys = ("per_device_train_batch_size", "gradient_accumulation_steps")
    micro, accumulated = int(reader.number(keys[0], 8) or 8), int(reader.number(keys[1], 1) or 1)
    reader.put("training.global_batch_size", micro * accumulated, keys[1])
    steps = reader.number("max_steps", -1) or -1
    if steps > 0:
        reader.put("training.max_steps", int(steps), "max_steps", "num_train_epochs")
    else:
        reader.put(
            "training.epochs", whole(reader.number("num_train_epochs", 3.0) or 3.0), "num_train_epochs", "max_steps"
        )
    off = reader.true("disable_gradient_checkpointing")
    kind = False if off else "offload" if reader.true("use_unsloth_gc") else True
    reader.put("training.gradient_checkpointing", kind, "disable_gradient_checkpointing", "use_unsloth_gc")
    _schedule(reader)


def _schedule(reader: Reader) -> None:
    named = str(reader.get("lr_scheduler_type", "linear"))
    arguments = cast("dict[str, object]", reader.get("lr_scheduler_kwargs", {}))
    known = {"cosine": "cosine", "linear": "linear", "constant": "constant", "constant_with_warmup": "constant"}
    if named == "cosine_with_min_lr" and set(arguments) == {"min_lr_rate"}:
        reader.put("training.min_lr_ratio", arguments["min_lr_rate"], "lr_scheduler_kwargs")
        named = "cosine"
    elif named == "polynomial" and "lr_end" in arguments and arguments.get("power", 1.0) == 1.0:
        rate = reader.number("learning_rate", 5e-5) or 5e-5
        share = round((reader.number("lr_scheduler_kwargs.lr_end") or 0.0) / rate, 9)
        reader.put("training.min_lr_ratio", share, "lr_scheduler_kwargs")
        known = {"polynomial": "polynomial"}
    if named not in known:
        reader.note("refused", "lr_scheduler_type", f"no scheduler of a recipe falls like {named}")
    reader.put("training.scheduler", known.get(named, "cosine"), "lr_scheduler_type")
    keys = ("warmup_steps", "warmup_ratio")
    steps, share = reader.number("warmup_steps"), reader.number("warmup_ratio")
    if named == "constant":
        reader.put("training.warmup", 0.0, *keys)
        reader.idle("a constant learning rate has none there", *keys)
        return
    # transformers puts warmup_ratio in the place of warmup_steps, whatever it is.
    told = steps if share is None else share
    reader.put("training.warmup", int(told) if told and told >= 1 else float(told or 0.0), *keys)
    if share is not None:
        reader.idle("warmup_ratio takes its place", "warmup_steps")


def read_optimizer(reader: Reader) -> None:
    named = reader.get("optim")
    if reader.true("use_muon"):
        reader.put("training.optimizer", "muon", "use_muon", "optim")
    elif named in OPTIMIZERS:
        reader.put("training.optimizer", OPTIMIZERS[str(named)], "optim")
    elif named is not None and named not in cast("dict[object, object]", BACK["optim"].values):
        reader.note("refused", "optim", f"no optimizer of a recipe is {spelled(named)}")
    if reader.has("adam_beta1", "adam_beta2"):
        betas = [reader.number("adam_beta1", 0.9), reader.number("adam_beta2", 0.999)]
        reader.put("training.betas", betas, "adam_beta1", "adam_beta2")
