"""The JSON of `ftc plan`."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from compiler.build import Compiled
from compiler.lock import plan_data
from compiler.memory.fixes import Fix, fixes
from compiler.report.machine import FORMAT_VERSION, as_data, diagnostic_data, gib, memory_data
from compiler.timing import estimate
from schemas.artifact import Target
from schemas.footprint import Stack
from schemas.plan import Decision


class Option(Struct, frozen=True):
    """The recipe on another stack or card, its `auto` leaves solved for that."""

    stack: Stack
    gpu: str | None
    compiled: Compiled


def plan_report(compiled: Compiled, target: Target, others: Sequence[Option]) -> dict[str, object]:
    """Everything that `ftc plan` shows. Keys may be added, never renamed."""
    plan, footprint = compiled.plan, compiled.footprint
    report: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "recipe": compiled.recipe.name if compiled.recipe else None,
        "target": target,
        "stack": footprint.stack if footprint else None,
        "plan": plan_data(plan) if plan and compiled.valid else None,
        "decisions": [_decision(item) for item in plan.decisions] if plan and compiled.valid else [],
        "memory": memory_data(footprint),
        "fixes": [_fix(item) for item in fixes(plan, footprint.stack)] if plan and footprint else [],
        **_estimate(compiled),
        "diagnostics": [diagnostic_data(item) for item in compiled.diagnostics],
    }
    return {**report, "alternatives": [_alternative(item) for item in others]} if others else report


def _decision(item: Decision) -> dict[str, object]:
    return {"path": item.path, "value": as_data(item.value), "because": item.because}


def _alternative(item: Option) -> dict[str, object]:
    memory = memory_data(item.compiled.footprint)
    return {"stack": item.stack, "gpu": item.gpu, "memory": memory, **_estimate(item.compiled)}


def _fix(item: Fix) -> dict[str, object]:
    footprint = item.footprint
    return {
        "set": as_data(item.set),
        "device_gib": gib(footprint.device),
        "verdict": footprint.verdict,
        "costs": item.costs,
    }


def _estimate(compiled: Compiled) -> dict[str, object]:
    """Time and cost, None where the recipe has errors."""
    if compiled.plan is None or compiled.footprint is None:
        return {"time": None, "cost": None}
    found = estimate(compiled.plan, compiled.footprint)
    return {
        "time": {"tokens_per_second": found.tokens_per_second, "hours": found.hours, "basis": found.basis},
        "cost": {"usd": found.usd, "basis": found.cost_basis},
    }
