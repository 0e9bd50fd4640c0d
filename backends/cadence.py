"""When things happen in a run, in the words that transformers' trainer and the tools around it share."""

from __future__ import annotations

from math import ceil
from typing import Final, Literal

from msgspec import Struct

from schemas.diagnostic import Finding
from schemas.plan import Plan
from schemas.recipe import Every, Scheduler

SCHEDULERS: Final[dict[Scheduler, str]] = {
    "cosine": "cosine",
    "linear": "linear",
    "constant": "constant_with_warmup",
    "polynomial": "polynomial",
}


class Cadence(Struct, frozen=True):
    """`steps`: a number of steps, or below 1 a share of the whole run; None for other strategies."""

    strategy: Literal["epoch", "steps", "no"]
    steps: int | float | None = None


def cadence(every: Every, plan: Plan) -> Cadence:
    """How often, as a strategy and steps. A share of an epoch becomes one of the run, which is what trainers take."""
    if every is None:
        return Cadence("no")
    if every == "epoch":
        return Cadence("epoch")
    if isinstance(every, int):
        return Cadence("steps", every)
    return Cadence("steps", every / plan.training.epochs if plan.training.epochs else None)


def evaluates(plan: Plan) -> bool:
    """Whether there is anything to evaluate on."""
    return plan.data.validation is not None


def evaluation(plan: Plan) -> Cadence:
    """When the run is evaluated: never without validation data."""
    return cadence(plan.evaluation.every if evaluates(plan) else None, plan)


def unsayable(plan: Plan) -> list[Finding]:
    """Shares of an epoch that no share of the run stands for, and a best checkpoint that is never looked for."""
    found = [
        Finding("FTC404", path, f"{path} = {every}: {why}", "write a number of steps")
        for path, every in (("evaluation.every", plan.evaluation.every), ("checkpoint.every", plan.checkpoint.every))
        if isinstance(every, float) and (why := _why_not(every, plan))
    ]
    if plan.checkpoint.best and evaluates(plan) and not _comparable(plan):
        found.append(
            Finding(
                "FTC404",
                "checkpoint.best",
                "checkpoint.best = true: each checkpoint must be evaluated when it is saved, and checkpoint.every = "
                f"{plan.checkpoint.every} does not fall on evaluation.every = {plan.evaluation.every}",
                "give both the same value",
            )
        )
    return found


def _why_not(every: float, plan: Plan) -> str | None:
    epochs = plan.training.epochs
    if epochs is None:
        return "with training.max_steps the length of an epoch is not known before the data is read"
    return f"a run of {epochs:g} epochs ends before" if every >= epochs else None


def _comparable(plan: Plan) -> bool:
    saved, seen = plan.checkpoint.every, plan.evaluation.every
    if isinstance(saved, int) and isinstance(seen, int):
        return saved % seen == 0
    return saved == seen and saved is not None


def scheduler(plan: Plan) -> tuple[str, dict[str, float] | None]:
    """The scheduler's name in transformers, and its arguments."""
    training = plan.training
    ratio = training.min_lr_ratio
    if training.scheduler == "cosine" and ratio:
        return "cosine_with_min_lr", {"min_lr_rate": ratio}
    if training.scheduler == "polynomial" and ratio == 1:
        return "constant_with_warmup", None
    if training.scheduler == "polynomial":
        return "polynomial", {"lr_end": training.learning_rate * ratio, "power": 1.0}
    return SCHEDULERS[training.scheduler], None


def warmup_steps(plan: Plan) -> int | float:
    """Steps, or below 1 a share of them; steps wherever the length of the run is known."""
    warmup, steps = plan.training.warmup, plan.training.max_steps
    if isinstance(warmup, int) or not warmup:
        return int(warmup)
    return ceil(warmup * steps) if steps else warmup
