"""What the plan's settings are called by TRL: the arguments of its configurations.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from backends.native.spread import ZERO, devices, sharding

Plan = dict[str, Any]


class SettingError(Exception):
    """Which setting of the plan cannot be had, in words for its owner."""


OPTIMIZERS = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "adamw_4bit": "adamw_torch_4bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "adafactor": "adafactor",
    "lion_8bit": "lion_8bit",
    "sgd": "sgd",
    "muon": "adamw_torch_fused",  # what it leaves to AdamW: `muon.py` makes the optimizer
}


def settings(plan: Plan, out: Path, device: str, rows: int) -> dict[str, Any]:
    """The arguments of TRL's configurations, whatever is trained for. `rows`: training rows, packed ones where rows are
    packed."""
    training, logging = plan["training"], plan["logging"]
    return dict(
        output_dir=str(out / "checkpoints"),
        run_name=plan["name"],
        project=logging["project"],
        report_to=list(logging["to"]) or "none",
        logging_steps=logging["every"],
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        num_train_epochs=training["epochs"] or 1.0,
        max_steps=training["max_steps"] or -1,
        per_device_train_batch_size=training["micro_batch_size"],
        per_device_eval_batch_size=plan["evaluation"]["batch_size"],
        gradient_accumulation_steps=accumulation(plan),
        learning_rate=training["learning_rate"],
        warmup_steps=training["warmup"],
        weight_decay=training["weight_decay"],
        max_grad_norm=training["max_grad_norm"],
        neftune_noise_alpha=training["neftune_alpha"],
        seed=training["seed"],
        train_sampling_strategy="random" if plan["data"]["shuffle"] else "sequential",
        prediction_loss_only=True,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        ddp_find_unused_parameters=False,
        **precision(plan),
        **optimizer(training),
        **schedule(training),
        **recomputation(plan),
        **intervals(plan, rows),
        **sharding(plan),
    )


def of_rows(plan: Plan) -> dict[str, Any]:
    """For `SFTConfig`. Rows come tokenised, masked, cut and packed: TRL pads them, or lays packed ones end to end."""
    return {
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "padding_free": plan["data"]["packing"],
        "max_length": None,
    }


def accumulation(plan: Plan) -> int:
    """Forward passes of one device in an optimizer step."""
    training = plan["training"]
    return training["global_batch_size"] // (training["micro_batch_size"] * devices(plan))


def precision(plan: Plan) -> dict[str, Any]:
    """Autocast to the model's 16-bit type, unless all that is trained has that type itself."""
    method, dtype = plan["method"], plan["model"]["dtype"]
    # DeepSpeed computes in 16 bit by itself, beside float32 weights of its own.
    mixed = method["kind"] != "full" or method["weights_dtype"] != dtype or plan["hardware"]["strategy"] in ZERO
    return {"bf16": mixed and dtype == "bfloat16", "fp16": mixed and dtype == "float16"}


def optimizer(training: dict[str, Any]) -> dict[str, Any]:
    name = training["optimizer"]
    if name not in OPTIMIZERS:
        raise SettingError(f"training.optimizer = {name} is not written yet")
    said: dict[str, Any] = {"optim": OPTIMIZERS[name]}
    if training["betas"]:
        said["adam_beta1"], said["adam_beta2"] = training["betas"]
    if training["epsilon"]:
        said["adam_epsilon"] = training["epsilon"]
    return said


def schedule(training: dict[str, Any]) -> dict[str, Any]:
    """The curve of the learning rate; `lr_end` is an absolute rate, `min_lr_rate` a fraction."""
    name, floor = training["scheduler"], training["min_lr_ratio"]
    if name == "cosine" and floor:
        return {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": floor}}
    if name == "polynomial" and floor < 1:
        end = floor * training["learning_rate"]
        return {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": end, "power": 1.0}}
    return {"lr_scheduler_type": name if name in ("cosine", "linear") else "constant_with_warmup"}


def recomputation(plan: Plan) -> dict[str, Any]:
    """What of the forward pass is kept for the backward pass.

    8-bit layers keep their inputs by themselves while gradients are on, as they are in checkpointing's newer kind.
    """
    kind = plan["training"]["gradient_checkpointing"]
    details: dict[str, Any] = {"use_reentrant": eight_bit(plan)}
    if kind == "selective":
        details = {"use_reentrant": False, "selective": True}
    return {
        "gradient_checkpointing": bool(kind),
        "gradient_checkpointing_kwargs": details if kind else None,
        "activation_offloading": kind == "offload",
    }


def eight_bit(plan: Plan) -> bool:
    """Whether the base is kept in 8 bit."""
    quantization = plan["method"].get("quantization")
    return quantization is not None and quantization["bits"] == 8


def intervals(plan: Plan, rows: int) -> dict[str, Any]:
    """When it is evaluated and saved. A share is one of an epoch, in whole steps."""
    training, evaluation, checkpoint = plan["training"], plan["evaluation"], plan["checkpoint"]
    epoch = math.ceil(rows / training["global_batch_size"])
    watched = evaluation["every"] if plan["data"]["validation"] is not None else None
    return {
        **_interval("eval", watched, epoch),
        **_interval("save", checkpoint["every"], epoch),
        "save_only_model": checkpoint["weights_only"],
        "load_best_model_at_end": checkpoint["best"],
        "metric_for_best_model": "eval_loss" if checkpoint["best"] else None,
        "greater_is_better": False if checkpoint["best"] else None,
    }


def _interval(what: str, every: str | float | int | None, epoch: int) -> dict[str, Any]:
    if every is None:
        return {f"{what}_strategy": "no"}
    if every == "epoch":
        return {f"{what}_strategy": "epoch"}
    steps = every if isinstance(every, int) else max(1, round(float(every) * epoch))
    return {f"{what}_strategy": "steps", f"{what}_steps": steps}
