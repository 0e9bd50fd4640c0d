"""The plan's `data` section."""

from __future__ import annotations

from compiler.resolve.ground import Ground
from compiler.resolve.sources import planned
from schemas.plan import DataPlan, SourcePlan
from schemas.recipe import LossOn, Overlong, Source

NO_PACKING = ("prefix_tuning", "prompt_tuning", "p_tuning")
"""Methods that put trained positions before a row: a packed row would have them once for all its documents."""


def data_plan(ground: Ground) -> DataPlan:
    """Sources with their formats, and what is done with their rows."""
    data = ground.recipe.data
    train = planned(data.train, "data.train", ground.folder, ground.decide)
    return DataPlan(
        train=train,
        validation=_validation(ground),
        system=data.system,
        max_length=data.max_length,
        overlong=_overlong(ground, train),
        bad_rows=data.bad_rows,
        packing=_packing(ground),
        loss_on=_loss_on(ground, train),
        shuffle=data.shuffle,
    )


def _validation(ground: Ground) -> float | int | tuple[SourcePlan, ...] | None:
    validation = ground.recipe.data.validation
    if isinstance(validation, Source | tuple):
        return planned(validation, "data.validation", ground.folder, ground.decide)
    return validation


def _overlong(ground: Ground, train: tuple[SourcePlan, ...]) -> Overlong:
    asked = ground.recipe.data.overlong
    if asked != "auto":
        return asked
    if all(source.format == "text" for source in train):
        return ground.decide("data.overlong", "split", "raw text can be cut anywhere")
    return ground.decide("data.overlong", "drop", "a conversation cut in the middle teaches to stop in the middle")


def _packing(ground: Ground) -> bool:
    asked = ground.recipe.data.packing
    objective, kind = ground.recipe.training.objective, ground.recipe.method.kind
    if asked != "auto":
        return asked
    if objective not in ("sft", "pretrain"):
        return ground.decide("data.packing", False, f"{objective} compares whole rows")
    if kind in NO_PACKING:
        return ground.decide("data.packing", False, f"{kind} puts its virtual tokens before each row")
    if ground.target == "native" and ground.facts.mixes_documents:
        because = f"transformers' {ground.facts.family} would let documents in one row see each other"
        return ground.decide("data.packing", False, because)
    if ground.target == "native" and ground.facts.packs_by_package:
        because = f"{ground.facts.family} keeps documents apart only where causal_conv1d is installed"
        return ground.decide("data.packing", False, because)
    return ground.decide("data.packing", True, "short rows share a long one, so that nothing is computed on padding")


def _loss_on(ground: Ground, train: tuple[SourcePlan, ...]) -> LossOn:
    asked = ground.recipe.data.loss_on
    if asked != "auto":
        return asked
    kind = train[0].format
    if kind in ("messages", "sharegpt"):
        return ground.decide("data.loss_on", "assistant", f"{kind} rows are conversations")
    if kind == "text":
        return ground.decide("data.loss_on", "all", "raw text has no prompt")
    return ground.decide("data.loss_on", "completion", f"{kind} rows have a prompt and an answer")
