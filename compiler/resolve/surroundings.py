"""The plan's sections around the training: evaluation, checkpoints, logging, output, hardware, raw keys."""

from __future__ import annotations

from compiler.resolve.ground import Ground
from compiler.sizes import parse_size
from schemas.plan import (
    CheckpointPlan,
    EvaluationPlan,
    HardwarePlan,
    LoggingPlan,
    OutputPlan,
    TargetsPlan,
)
from schemas.recipe import Strategy


def evaluation_plan(ground: Ground) -> EvaluationPlan:
    """When it is evaluated; the batch size stays open where it was `auto`."""
    evaluation, training = ground.recipe.evaluation, ground.recipe.training
    size = evaluation.batch_size
    if size == "auto":
        fallback = 1 if training.micro_batch_size == "auto" else training.micro_batch_size
        size = ground.leave_open("evaluation.batch_size", fallback)
    return EvaluationPlan(evaluation.every, size)


def checkpoint_plan(ground: Ground) -> CheckpointPlan:
    """When it is saved."""
    asked = ground.recipe.checkpoint
    resume = asked.resume if asked.resume in ("auto", "never") else ground.absolute(asked.resume)
    return CheckpointPlan(asked.every, asked.keep, asked.best, asked.weights_only, resume)


def logging_plan(ground: Ground) -> LoggingPlan:
    """When and where it reports."""
    asked = ground.recipe.logging
    return LoggingPlan(asked.every, asked.to, asked.project or ground.recipe.name)


def output_plan(ground: Ground) -> OutputPlan:
    """The folder of this run, the recipe's name included."""
    asked = ground.recipe.output
    return OutputPlan(f"{ground.absolute(asked.dir)}/{ground.recipe.name}", asked.merge)


def hardware_plan(ground: Ground) -> HardwarePlan:
    """The cards, their memory in bytes, and how work is spread over them."""
    asked, gpu = ground.recipe.hardware, ground.gpu
    stated = parse_size(asked.memory) if asked.memory is not None else None
    return HardwarePlan(
        gpu=gpu.name if gpu else None,
        count=asked.count,
        memory=stated or (gpu.memory if gpu and gpu.memory else None),
        nodes=asked.nodes,
        strategy=_strategy(ground),
        offload=asked.offload,
        reserve=0 if asked.reserve == "auto" else parse_size(asked.reserve),
    )


def _strategy(ground: Ground) -> Strategy:
    asked = ground.recipe.hardware
    if asked.strategy != "auto":
        return asked.strategy
    if asked.count * asked.nodes == 1:
        return ground.decide("hardware.strategy", "single", "there is one device")
    return ground.leave_open("hardware.strategy", "ddp")


def targets_plan(ground: Ground) -> TargetsPlan:
    """Raw keys, as they stand."""
    return TargetsPlan(ground.recipe.targets.axolotl, ground.recipe.targets.llamafactory)
