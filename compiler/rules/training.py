"""Rules about the optimisation, evaluation and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from compiler.rules.context import Context, Rule
from schemas.diagnostic import Finding

ADAMS: Final = ("adamw", "adamw_8bit", "adamw_4bit", "paged_adamw_8bit", "paged_adamw")
HAS_BETAS: Final = (*ADAMS, "lion_8bit")
COMPARES: Final = ("dpo", "orpo", "kto")


def batch_divides(context: Context) -> Iterator[Finding]:
    """Equals micro x accumulation x devices exactly: no tool then trains on another size than the recipe says."""
    training = context.recipe.training
    micro = 1 if training.micro_batch_size == "auto" else training.micro_batch_size
    step = micro * context.devices
    asked = training.global_batch_size
    if asked % step == 0:
        return
    below, above = asked // step * step, (asked // step + 1) * step
    product = f"micro_batch_size {micro} x " if micro > 1 else ""
    message = f"global_batch_size {asked} is not a multiple of {step} ({product}{context.devices} devices)"
    hint = f"write {f'{below} or ' if below else ''}{above}"
    path = "training.global_batch_size"
    if path not in context.written and "training.micro_batch_size" in context.written:
        path, hint = "training.micro_batch_size", f"write another, or global_batch_size: {below or above}"
    yield Finding("FTC250", path, message, hint)


def epochs_and_steps(context: Context) -> Iterator[Finding]:
    if context.recipe.training.max_steps is not None and "training.epochs" in context.written:
        message = "epochs and max_steps are both set, and one decides when training ends"
        yield Finding("FTC251", "training.max_steps", message, "remove one of them")


def lowest_rate(context: Context) -> Iterator[Finding]:
    training = context.recipe.training
    if training.min_lr_ratio and training.scheduler not in ("cosine", "polynomial"):
        end = "ends at 0" if training.scheduler == "linear" else "does not fall"
        message = f"min_lr_ratio has no effect: the {training.scheduler} schedule {end}"
        yield Finding("FTC252", "training.min_lr_ratio", message, "write scheduler: cosine, or remove it")


def leaves_of_other_optimizers(context: Context) -> Iterator[Finding]:
    training = context.recipe.training
    for leaf, known in (("betas", HAS_BETAS), ("epsilon", ADAMS)):
        asked = training.betas if leaf == "betas" else training.epsilon
        if asked != "auto" and training.optimizer not in (*known, "auto"):
            message = f"{training.optimizer} has no {leaf}"
            yield Finding("FTC253", f"training.{leaf}", message, f"remove it; these have: {', '.join(known)}", at="key")


def preference_without_pairs(context: Context) -> Iterator[Finding]:
    objective = context.recipe.training.objective
    written = any(path.startswith("training.preference.") for path in context.written)
    if objective not in COMPARES and written:
        message = f"preference belongs to {', '.join(COMPARES)}, and the objective is {objective}"
        yield Finding("FTC254", "training.preference", message, "remove it, or set another objective", at="key")


def loss_of_dpo(context: Context) -> Iterator[Finding]:
    objective = context.recipe.training.objective
    if objective in ("orpo", "kto") and "training.preference.loss" in context.written:
        message = f"loss chooses among the losses of dpo, and {objective} has only its own"
        yield Finding("FTC255", "training.preference.loss", message, "remove it", at="key")


def resume_without_optimizer(context: Context) -> Iterator[Finding]:
    checkpoint = context.recipe.checkpoint
    if checkpoint.weights_only and checkpoint.resume == "auto" and checkpoint.every is not None:
        message = "without the optimizer's state an interrupted run cannot go on: it will begin anew"
        hint = "write resume: never if that is meant, or weights_only: false"
        yield Finding("FTC256", "checkpoint.weights_only", message, hint, "warning")


def four_bit_optimizer(context: Context) -> Iterator[Finding]:
    if context.recipe.training.optimizer == "adamw_4bit":
        message = "adamw_4bit comes from torchao, which the artifact's requirements bring, and no tool by itself"
        hint = "an environment of your own needs torchao too; or write adamw_8bit"
        yield Finding("FTC257", "training.optimizer", message, hint, "warning")


def best_of_nothing(context: Context) -> Iterator[Finding]:
    recipe = context.recipe
    if not recipe.checkpoint.best:
        return
    if recipe.data.validation is None:
        missing, hint = "there is no validation data", "set data.validation: 0.05, or remove best"
    elif recipe.evaluation.every is None:
        missing, hint = "evaluation.every is null", "set evaluation.every: epoch, or remove best"
    elif recipe.checkpoint.every is None:
        missing, hint = "checkpoint.every is null", "set checkpoint.every: epoch, or remove best"
    else:
        return
    yield Finding("FTC258", "checkpoint.best", f"no checkpoint can be the best: {missing}", hint)


def warmup_over_steps(context: Context) -> Iterator[Finding]:
    training = context.recipe.training
    steps = training.max_steps
    if steps is not None and isinstance(training.warmup, int) and training.warmup >= steps:
        message = f"warmup takes {training.warmup} of {steps} steps: the learning rate never falls"
        yield Finding("FTC260", "training.warmup", message, "write fewer steps, or a share such as 0.1")


RULES: Final = (
    Rule(
        ("training.global_batch_size", "training.micro_batch_size", "hardware.count", "hardware.nodes"), batch_divides
    ),
    Rule(("training.epochs", "training.max_steps"), epochs_and_steps),
    Rule(("training.min_lr_ratio", "training.scheduler"), lowest_rate),
    Rule(("training.betas", "training.epsilon", "training.optimizer"), leaves_of_other_optimizers),
    Rule(("training.objective", "training.preference"), preference_without_pairs),
    Rule(("training.objective", "training.preference.loss"), loss_of_dpo),
    Rule(("checkpoint.weights_only", "checkpoint.resume", "checkpoint.every"), resume_without_optimizer),
    Rule(("training.optimizer",), four_bit_optimizer),
    Rule(("checkpoint.best", "checkpoint.every", "data.validation", "evaluation.every"), best_of_nothing),
    Rule(("training.warmup", "training.max_steps"), warmup_over_steps),
)
