"""Axolotl's steps, schedule and optimizer, read as a recipe's."""

from __future__ import annotations

from typing import Final, cast

from backends.axolotl.reading_keys import BACK, OLD_OPTIMIZERS
from backends.base import spelled
from backends.reading import Reader, whole


def read_training(reader: Reader) -> None:
    micro = int(reader.number("micro_batch_size", 1) or 1)
    total = reader.number("batch_size")
    accumulated = reader.number("gradient_accumulation_steps", total // micro if total else 1) or 1
    reader.put("training.global_batch_size", int(micro * accumulated), "gradient_accumulation_steps", "batch_size")
    _length(reader)
    _objective(reader)
    _schedule(reader)
    _optimizer(reader)
    _checkpointing(reader)
    if reader.get("gradient_checkpointing_kwargs.use_reentrant") is False:
        reader.also("training.gradient_checkpointing", "gradient_checkpointing_kwargs.use_reentrant")
    else:
        reader.idle("gradients are the same", "gradient_checkpointing_kwargs.use_reentrant")


def _length(reader: Reader) -> None:
    """Steps win over epochs."""
    steps = reader.number("max_steps")
    if steps and steps > 0:
        reader.put("training.max_steps", int(steps), "max_steps", "num_epochs")
    else:
        reader.put("training.epochs", whole(reader.number("num_epochs", 1.0) or 1.0), "num_epochs", "max_steps")


def _objective(reader: Reader) -> None:
    rl = reader.get("rl")
    if rl not in ("dpo", "ipo", "orpo", "kto"):
        return
    reader.put("training.objective", "dpo" if rl == "ipo" else rl, "rl")
    losses = reader.get("dpo_loss_type")
    listed = cast("list[object]", losses) if isinstance(losses, list) else [losses] if losses else []
    if rl == "ipo" or listed:
        if len(listed) > 1 or (listed and listed[0] not in ("sigmoid", "ipo", "hinge")):
            reader.note("refused", "dpo_loss_type", f"{spelled(listed)} is none of sigmoid, ipo and hinge")
        reader.put("training.preference.loss", "ipo" if rl == "ipo" else listed[0], "dpo_loss_type")
    betas = ("trl.beta", "rl_beta", "orpo_alpha")
    beta = next((key for key in betas if reader.has(key)), None)
    if beta:
        reader.put("training.preference.beta", reader.number(beta), *betas)
    if reader.has("dpo_beta"):
        reader.idle("Axolotl does not read it any more", "dpo_beta")
    for key in ("kto_desirable_weight", "kto_undesirable_weight"):
        if reader.number(key, 1.0) == 1.0:
            reader.idle("it is the usual weight", key)
    if reader.true("dataset_exact_deduplication"):
        reader.note("lost", "dataset_exact_deduplication", "of compared answers ftc writes the rows as they are")
    reader.also("training.objective", "remove_unused_columns", "skip_prepare_dataset")


SCHEDULERS: Final = {"cosine": "cosine", "linear": "linear", "constant_with_warmup": "constant", "constant": "constant"}


def _schedule(reader: Reader) -> None:
    named = str(reader.get("lr_scheduler", "cosine"))
    arguments = cast("dict[str, object]", reader.get("lr_scheduler_kwargs", {}))
    ratio = reader.number("cosine_min_lr_ratio")
    if named == "cosine_with_min_lr" and set(arguments) == {"min_lr_rate"}:
        named, ratio = "cosine", reader.number("lr_scheduler_kwargs.min_lr_rate")
        reader.put("training.min_lr_ratio", ratio, "lr_scheduler_kwargs.min_lr_rate")
    elif named == "cosine" and ratio is not None:
        reader.put("training.min_lr_ratio", ratio, "cosine_min_lr_ratio")
    elif named == "polynomial" and "lr_end" in arguments and arguments.get("power", 1.0) == 1.0:
        rate = reader.number("learning_rate") or 1.0
        share = round((reader.number("lr_scheduler_kwargs.lr_end") or 0.0) / rate, 9)
        reader.put("training.min_lr_ratio", share, "lr_scheduler_kwargs")
    if named in SCHEDULERS or reader.leaves.get("training.min_lr_ratio"):
        reader.put("training.scheduler", SCHEDULERS.get(named, named), "lr_scheduler")
    else:
        reader.note("refused", "lr_scheduler", f"no scheduler of a recipe falls like {named}")
    _warmup(reader, named)


def _warmup(reader: Reader, named: str) -> None:
    keys = ("warmup_steps", "warmup_ratio")
    steps, share = reader.number("warmup_steps"), reader.number("warmup_ratio")
    if named == "constant":
        reader.put("training.warmup", 0.0, *keys)
        if steps or share:
            reader.idle("a constant learning rate has none there", *keys)
    elif steps is not None:
        reader.put("training.warmup", steps if 0 < steps < 1 else int(steps) or 0.0, *keys)
    else:
        reader.put("training.warmup", 0.03 if share is None else float(share), *keys)


def _optimizer(reader: Reader) -> None:
    named = reader.get("optimizer")
    if named in OLD_OPTIMIZERS:
        ours, why = OLD_OPTIMIZERS[str(named)]
        reader.put("training.optimizer", ours, "optimizer")
        if why:
            reader.note("differs", "optimizer", why)
    elif named is not None and named not in cast("dict[object, object]", BACK["optimizer"].values):
        reader.note("refused", "optimizer", f"no optimizer of a recipe is {spelled(named)}")
    if reader.has("adam_beta1", "adam_beta2"):
        betas = [reader.number("adam_beta1", 0.9), reader.number("adam_beta2", 0.999)]
        reader.put("training.betas", betas, "adam_beta1", "adam_beta2")


def _checkpointing(reader: Reader) -> None:
    kind, offloaded = reader.get("gradient_checkpointing"), reader.get("activation_offloading")
    keys = ("gradient_checkpointing", "activation_offloading", "selective_checkpointing")
    if reader.has("selective_checkpointing") and kind:
        reader.put("training.gradient_checkpointing", "selective", *keys, "selective_checkpointing.save")
    elif kind in ("offload", "offload_disk") or (kind and offloaded):
        reader.put("training.gradient_checkpointing", "offload", *keys)
    else:
        reader.put("training.gradient_checkpointing", bool(kind), *keys)
