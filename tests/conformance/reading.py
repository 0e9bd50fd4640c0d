"""What a trainer will really do, read from its own objects: arguments, optimizer, schedule, order of rows.

Fields are paths of the plan, where they stand for a leaf of it, or lie below one. Runs in the tools' own Pythons.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Any

import torch
from reading_points import POINTS
from transformers import Trainer

Values = dict[str, Any]

NAMES = {
    ("torch", "AdamW"): "adamw",
    ("torch", "SGD"): "sgd",
    ("transformers", "Adafactor"): "adafactor",
    ("torchao", "AdamW4bit"): "adamw_4bit",
    ("torchao", "_AdamW"): "adamw_4bit",
}
"""Package and class of an optimizer → the recipe's word for it."""

BITSANDBYTES = {
    ("adamw", 8, False): "adamw_8bit",
    ("adamw", 8, True): "paged_adamw_8bit",
    ("adamw", 32, True): "paged_adamw",
    ("lion", 8, False): "lion_8bit",
}
"""Method, bits and paging of one of bitsandbytes' optimizers → the recipe's word."""


def read(trainer: Trainer, resume: object, steps: int) -> Values:
    """Everything that any transformers trainer shows. `steps`: how many optimizer steps the run has."""
    trainer.create_optimizer()
    return {
        **arguments(trainer.args, steps),
        **optimizer(trainer),
        **schedule(trainer, steps),
        "data.shuffle": shuffled(trainer),
        "checkpoint.resume": resume or "never",
    }


def arguments(args: Any, steps: int) -> Values:
    """What the training arguments say."""
    return {
        "training.epochs": args.num_train_epochs,
        "training.max_steps": args.max_steps if args.max_steps > 0 else None,
        "training.micro_batch_size": args.per_device_train_batch_size,
        "accumulation": args.gradient_accumulation_steps,
        "training.warmup": args.get_warmup_steps(steps),
        "training.max_grad_norm": args.max_grad_norm,
        "training.compile": bool(args.torch_compile),
        "training.neftune_alpha": args.neftune_noise_alpha,
        "training.seed": args.seed if args.data_seed in (None, args.seed) else [args.seed, args.data_seed],
        "model.dtype.tf32": bool(args.tf32),
        "hardware.count.average": bool(args.average_tokens_across_devices),
        "evaluation.every": every(args.eval_strategy, args.eval_steps, steps),
        "evaluation.batch_size": args.per_device_eval_batch_size,
        "checkpoint.every": every(args.save_strategy, args.save_steps, steps),
        "checkpoint.keep": args.save_total_limit,
        "checkpoint.best": best(args),
        "checkpoint.weights_only": bool(args.save_only_model),
        "logging.every": every("steps", args.logging_steps, steps),
        "logging.to": sorted(name for name in args.report_to if name != "none"),
        "output.dir": str(args.output_dir),
    }


PROJECTS = {"wandb": "WANDB_PROJECT", "mlflow": "MLFLOW_EXPERIMENT_NAME"}
"""Trackers that are told their project by the environment."""


def projects(args: Any) -> dict[str, str]:
    """The project of each tracker that has one."""
    found = {name: os.environ.get(word, "") for name, word in PROJECTS.items() if name in args.report_to}
    return {**found, "trackio": args.project} if "trackio" in args.report_to else found


def every(strategy: Any, when: float | None, steps: int) -> int | str | None:
    """Steps between two, "epoch", or None: never. The trainer makes steps of a share of the run."""
    kind = getattr(strategy, "value", strategy)
    if kind == "no" or not when:
        return None if kind == "no" else kind
    if kind != "steps":
        return kind
    return math.ceil(steps * when) if when < 1 else int(when)


def best(args: Any) -> bool | str:
    """Whether the run ends with the checkpoint of the lowest validation loss; the metric, where it is another."""
    if not args.load_best_model_at_end:
        return False
    usual = args.metric_for_best_model in (None, "loss", "eval_loss") and not args.greater_is_better
    return usual or f"{args.metric_for_best_model}, greater is better: {args.greater_is_better}"


def optimizer(trainer: Trainer) -> Values:
    """Its kind, and the rates that each kind of parameter learns with."""
    made = trainer.optimizer
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    found = [
        (names.get(id(parameter), "?"), parameter, group)
        for group in made.param_groups
        for parameter in group["params"]
    ]
    # LoRA+ counts vectors, DoRA's magnitudes among them, with the second matrices.
    fast = [".lora_B." in name or parameter.ndim < 2 for name, parameter, _ in found]
    second = [float(group["lr"]) for (*_, group), other in zip(found, fast, strict=True) if other]
    first = [float(group["lr"]) for (*_, group), other in zip(found, fast, strict=True) if not other]
    norms = [group for name, parameter, group in found if parameter.ndim < 2 and "magnitude" not in name]
    rate, other = unique(first or second), unique(second)
    plus = other / rate if isinstance(rate, float) and isinstance(other, float) and other != rate else None
    return {
        "training.optimizer": kind(made),
        "training.learning_rate": rate,
        "method.lora_plus_ratio": plus,
        "training.weight_decay": unique(decay(group) for _, parameter, group in found if parameter.ndim > 1),
        "training.weight_decay.vectors": unique(map(decay, norms)) or 0.0,
        "training.betas": unique(tuple(group["betas"]) for _, _, group in found if "betas" in group),
        "training.epsilon": unique(group["eps"] for _, _, group in found if "eps" in group),
    }


def decay(group: Values) -> float:
    """Muon calls it otherwise."""
    return group["weight_decay"] if "weight_decay" in group else group["wd"]


def kind(made: Any) -> str:
    """An optimizer by the recipe's word; by its class where the recipe has none."""
    package, name = type(made).__module__.partition(".")[0], type(made).__name__
    if package == "bitsandbytes":
        method = "lion" if "Lion" in name else "adamw"
        return BITSANDBYTES.get((method, made.args.optim_bits, bool(made.is_paged)), f"bitsandbytes {name}")
    if "muon" in name.lower():
        return "muon"
    return NAMES.get((package, name), f"{package} {name}")


def unique(values: Iterable[Any]) -> Any:
    """The one value that all have; a list where there are several; None where there is none."""
    found = sorted(set(values))
    return found[0] if len(found) == 1 else found or None


def preference(trainer: Any, objective: str) -> Values:
    """How one of TRL's own trainers compares answers; only DPO's has kinds of loss, one or a mixture of several."""
    kinds = trainer.args.loss_type if objective == "dpo" else None
    return {
        "training.objective": objective,
        "training.preference.beta": trainer.beta,
        "training.preference.loss": kinds[0] if isinstance(kinds, list) and len(kinds) == 1 else kinds,
        "training.preference.smoothing": getattr(trainer.args, "label_smoothing", 0.0) or 0.0,
    }


def schedule(trainer: Trainer, steps: int) -> Values:
    """The learning rate over the run, as shares of its peak."""
    stand_in = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    stand_in.param_groups[0]["lr"] = stand_in.defaults["lr"] = trainer.args.learning_rate
    trainer.lr_scheduler = None
    curve = trainer.create_scheduler(steps, stand_in)
    rates: list[float] = []
    for _ in range(steps + 1):
        rates.append(stand_in.param_groups[0]["lr"] / trainer.args.learning_rate)
        stand_in.step()
        curve.step()
    return {"training.scheduler": [round(rates[round(point * steps)], 6) for point in POINTS]}


def shuffled(trainer: Trainer) -> bool | str:
    """Whether the sampler draws at random; its class where it is another."""
    sampler = trainer._get_train_sampler(trainer.train_dataset)
    while hasattr(sampler, "sampler"):
        sampler = sampler.sampler
    named = type(sampler).__name__
    return {"RandomSampler": True, "SequentialSampler": False}.get(named, named)
