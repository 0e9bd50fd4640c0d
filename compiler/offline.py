"""Where there is no way to the hub, its libraries are told so: they would ask for a minute, saying so."""

from __future__ import annotations

import os
from pathlib import Path

from backends.alike import all_sources
from compiler.models import OFFLINE, told_to_be_offline
from schemas.plan import Plan


def go_offline(plan: Plan) -> str:
    """For this process and its children. In words what that means; nothing where the hub is not needed, or answers."""
    named = [
        plan.model.base,
        plan.model.tokenizer,
        *(source.path for _, source in all_sources(plan) if not source.local),
    ]
    if told_to_be_offline() or all(name is None or Path(name).is_absolute() for name in named):
        return ""
    from compiler.hub import endpoint, is_out_of_reach  # costs more than a whole `ftc validate`

    if not is_out_of_reach():
        return ""
    os.environ[OFFLINE[0]] = "1"
    return f"{endpoint()} cannot be reached: only what is in the hub's cache on this machine is used"
