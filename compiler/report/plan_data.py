"""The JSON of `ftc plan`."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.build import Compiled
from compiler.lock import plan_data, tool
from compiler.memory.differences import Difference
from compiler.memory.fixes import Fix, fixes
from compiler.memory.saved import trained
from compiler.report.alternatives import Option, Side, headline, reason, sides
from compiler.report.machine import FORMAT_VERSION, as_data, diagnostic_data, gib, memory_data
from compiler.timing import estimate
from schemas.artifact import Target
from schemas.plan import Decision


def plan_report(
    compiled: Compiled, target: Target, others: Sequence[Option], version: str | None = None
) -> dict[str, object]:
    """Everything that `ftc plan` shows. Keys may be added, never renamed. `version`: of the tool, if not the tested."""
    plan, footprint = compiled.plan, compiled.footprint
    report: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "recipe": compiled.recipe.name if compiled.recipe else None,
        "target": target,
        "tool": tool(target, version),
        "stack": footprint.stack if footprint else None,
        "plan": plan_data(plan) if plan and compiled.valid else None,
        "decisions": [_decision(item) for item in plan.decisions] if plan and compiled.valid else [],
        "memory": memory_data(footprint),
        "trained": _trained(compiled),
        "fixes": [_fix(item) for item in fixes(plan, footprint.stack)] if plan and footprint else [],
        **_estimate(compiled),
        "diagnostics": [diagnostic_data(item) for item in compiled.diagnostics],
    }
    return {**report, **_elsewhere(compiled, others)}


def _decision(item: Decision) -> dict[str, object]:
    """`runner_up`: what another value would have come to; null where none was compared."""
    second = item.runner_up
    data = second and {
        "value": as_data(second.value),
        "slower": second.slower,
        "high_gib": gib(second.needs),
        "fits": second.fits,
    }
    return {"path": item.path, "value": as_data(item.value), "because": item.because, "runner_up": data}


def _trained(compiled: Compiled) -> dict[str, object] | None:
    """What is trained and what is saved, in elements and bytes; None where the recipe has errors."""
    if compiled.plan is None or compiled.footprint is None:
        return None
    found = trained(compiled.plan, compiled.footprint.stack)
    return {
        "parameters": found.parameters,
        "share": round(found.share, 6),
        "saved": found.saved,
        "saved_bytes": found.saved_bytes,
    }


def _elsewhere(compiled: Compiled, others: Sequence[Option]) -> dict[str, object]:
    """The recipe elsewhere; with several stacks also one sentence about them. Nothing where nothing was asked for."""
    found = sides(compiled, others)
    by_stack = {side.stack: side for side in found}
    gpu = compiled.plan.hardware.gpu if compiled.plan else None
    listed = [_alternative(item, by_stack.get(item.stack) if item.gpu == gpu else None) for item in others]
    summary: dict[str, object] = {"stacks": headline(found)} if found else {}
    return {**summary, "alternatives": listed} if others else {}


def _alternative(item: Option, side: Side | None) -> dict[str, object]:
    """`memory`: with `auto` leaves solved for this stack and card; `settings` says which became others than in the
    plan. `as_planned`: this stack with the plan as it stands, and `reason`: why that is more than another stack's."""
    memory = memory_data(item.compiled.footprint)
    data: dict[str, object] = {"stack": item.stack, "gpu": item.gpu, "memory": memory, **_estimate(item.compiled)}
    if side is None:
        return data
    because = _reason(side.difference) if side.difference else None
    return {
        **data,
        "settings": as_data(side.solved),
        "as_planned": memory_data(side.footprint),
        "reason": because,
    }


def _reason(found: Difference) -> dict[str, object]:
    return {
        "than": found.leaner,
        "more_gib": gib(found.more),
        "part": found.part,
        "part_more_gib": gib(found.part_more),
        "fact": found.fact,
        "because": reason(found),
        "source": found.source,
    }


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
