"""The plan's `training` section."""

from __future__ import annotations

from compiler.memory.loss import NEVER_WHOLE
from compiler.memory.stacks import profile
from compiler.resolve.ground import Ground
from schemas.plan import PreferencePlan, TrainingPlan
from schemas.recipe import Checkpointing, Kernels, Loss, Optimizer

ADAM_BETAS = (0.9, 0.999)
LION_BETAS = (0.9, 0.99)
ADAM_EPSILON = 1e-8
ADAMS = ("adamw", "adamw_8bit", "adamw_4bit", "paged_adamw_8bit", "paged_adamw")

LEARNING_RATES: dict[str, tuple[float, float, float]] = {
    "lora": (2e-4, 2e-4, 5e-6),
    "qlora": (2e-4, 2e-4, 5e-6),
    "dora": (2e-4, 2e-4, 5e-6),
    "qdora": (2e-4, 2e-4, 5e-6),
    "full": (2e-5, 2e-5, 5e-7),
    "prefix_tuning": (3e-2, 3e-2, 3e-2),
    "prompt_tuning": (3e-2, 3e-2, 3e-2),
    "p_tuning": (3e-2, 3e-2, 3e-2),
    "ia3": (5e-3, 5e-3, 5e-3),
    "adapter": (1e-3, 1e-3, 1e-3),
}
"""Method → learning rate for sft, for pretrain, and for dpo, orpo and kto."""


def training_plan(ground: Ground) -> TrainingPlan:
    """What is optimised and how; micro batch and checkpointing stay open where they were `auto`."""
    training = ground.recipe.training
    by_steps = training.max_steps is not None and "epochs" not in training.model_fields_set
    return TrainingPlan(
        objective=training.objective,
        epochs=None if by_steps else training.epochs,
        max_steps=training.max_steps,
        global_batch_size=training.global_batch_size,
        micro_batch_size=_micro_batch(ground),
        learning_rate=_learning_rate(ground),
        scheduler=training.scheduler,
        min_lr_ratio=training.min_lr_ratio,
        warmup=training.warmup,
        optimizer=_optimizer(ground),
        weight_decay=training.weight_decay,
        betas=_betas(ground),
        epsilon=_epsilon(ground),
        max_grad_norm=training.max_grad_norm,
        gradient_checkpointing=_checkpointing(ground),
        loss=_loss(ground),
        compile=training.compile,
        kernels=_kernels(ground),
        neftune_alpha=training.neftune_alpha,
        seed=training.seed,
        preference=_preference(ground),
    )


def _micro_batch(ground: Ground) -> int:
    asked = ground.recipe.training.micro_batch_size
    return ground.leave_open("training.micro_batch_size", 1) if asked == "auto" else asked


def _learning_rate(ground: Ground) -> float:
    asked, objective, kind = (
        ground.recipe.training.learning_rate,
        ground.recipe.training.objective,
        ground.recipe.method.kind,
    )
    if asked != "auto":
        return asked
    column = {"sft": 0, "pretrain": 1}.get(objective, 2)
    return ground.decide(
        "training.learning_rate", LEARNING_RATES[kind][column], f"the usual start for {kind} {objective}"
    )


def _optimizer(ground: Ground) -> Optimizer:
    asked = ground.recipe.training.optimizer
    if asked != "auto":
        return asked
    return ground.leave_open("training.optimizer", "adamw", "the usual one, its state as it is")


def _betas(ground: Ground) -> tuple[float, float] | None:
    asked, optimizer = ground.recipe.training.betas, _kind(ground)
    if asked != "auto":
        return asked
    found = _usual_betas(optimizer)
    because = f"the usual ones of {optimizer}" if found else f"{optimizer} has none"
    return ground.decide("training.betas", found, because)


def _kind(ground: Ground) -> Optimizer:
    """The optimizer, or one of its kind: what `auto` may become are AdamW's variants."""
    asked = ground.recipe.training.optimizer
    return "adamw" if asked == "auto" else asked


def _usual_betas(optimizer: Optimizer) -> tuple[float, float] | None:
    if optimizer in ADAMS:
        return ADAM_BETAS
    return LION_BETAS if optimizer == "lion_8bit" else None


def _epsilon(ground: Ground) -> float | None:
    asked, optimizer = ground.recipe.training.epsilon, _kind(ground)
    if asked != "auto":
        return asked
    found = ADAM_EPSILON if optimizer in ADAMS else None
    because = f"the usual one of {optimizer}" if found else f"{optimizer} has none that is set"
    return ground.decide("training.epsilon", found, because)


def _checkpointing(ground: Ground) -> Checkpointing:
    asked, path = ground.recipe.training.gradient_checkpointing, "training.gradient_checkpointing"
    if asked != "auto":
        return asked
    if ground.recipe.method.kind == "prefix_tuning":
        return ground.decide(path, False, "prefix tuning fails with recomputed activations")
    return ground.leave_open(path, True)


def _loss(ground: Ground) -> Loss:
    asked, path = ground.recipe.training.loss, "training.loss"
    if asked != "auto":
        return asked
    objective = ground.recipe.training.objective
    if ground.target == "native" and objective in NEVER_WHOLE:
        return ground.decide(path, "chunked", f"TRL's {objective} takes the head in chunks")
    if objective not in ("sft", "pretrain"):
        return ground.decide(path, "full", "losses over preferences need the logits of whole answers")
    return ground.leave_open(path, profile(ground.target).default_loss, f"what {ground.target} does by itself")


def _kernels(ground: Ground) -> Kernels:
    asked = ground.recipe.training.kernels
    if asked != "auto":
        return asked
    return ground.leave_open("training.kernels", "none", "the model's own kernels run everywhere")


def _preference(ground: Ground) -> PreferencePlan | None:
    objective, preference = ground.recipe.training.objective, ground.recipe.training.preference
    if objective not in ("dpo", "orpo", "kto"):
        return None
    return PreferencePlan(preference.beta, preference.loss if objective == "dpo" else None)
