"""A plan's rows as the code that artifacts carry is told of them."""

from __future__ import annotations

from typing import cast

from backends.alike import told
from backends.native.data import Rules
from backends.native.examine import Job
from schemas.plan import Plan, is_sources


def job(plan: Plan) -> Job:
    """What is made of which rows."""
    data, own = plan.data, plan.data.validation
    return Job(
        train=[told(source) for source in data.train],
        validation=[told(source) for source in own] if is_sources(own) else cast("float | int | None", own),
        system=data.system,
        templated=plan.model.chat_template is not None,
        rules=Rules(data.loss_on, data.max_length, data.overlong),
        drop_bad=data.bad_rows == "drop",
        seed=plan.training.seed,
    )
