"""Recipe + facts → plan: the only place that fills a blank.

Every function here is total: a recipe that breaks a rule still gets a plan, so that all findings can be told at once.
"""

from __future__ import annotations

from msgspec import Struct

from compiler.resolve.data import data_plan
from compiler.resolve.ground import Ground
from compiler.resolve.method import method_plan
from compiler.resolve.model import model_plan
from compiler.resolve.surroundings import (
    checkpoint_plan,
    evaluation_plan,
    hardware_plan,
    logging_plan,
    output_plan,
    targets_plan,
)
from compiler.resolve.training import training_plan
from schemas.plan import Plan


class Draft(Struct, frozen=True):
    """A plan, and the leaves in it that hold a fallback because only memory and speed can choose them: path → why that
    one."""

    plan: Plan
    open: dict[str, str]


def resolve(ground: Ground) -> Draft:
    """Fill every blank that needs no weighing. Decisions are listed in the order in which they were made."""
    recipe = ground.recipe
    data = data_plan(ground)
    model = model_plan(ground, data)
    plan = Plan(
        version=recipe.version,
        name=recipe.name,
        model=model,
        method=method_plan(ground, model.dtype),
        data=data,
        training=training_plan(ground),
        evaluation=evaluation_plan(ground),
        checkpoint=checkpoint_plan(ground),
        logging=logging_plan(ground),
        output=output_plan(ground),
        hardware=hardware_plan(ground),
        targets=targets_plan(ground),
        facts=ground.facts,
        gpu=ground.gpu,
        decisions=tuple(ground.decisions),
    )
    return Draft(plan, ground.open)
