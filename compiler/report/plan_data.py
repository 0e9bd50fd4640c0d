"""The JSON of `ftc plan`."""

from __future__ import annotations

from collections.abc import Sequence

from compiler.build import Compiled
from compiler.duration.estimate import estimate
from compiler.duration.ranges import Range
from compiler.lock import plan_data, tool
from compiler.memory.differences import Difference
from compiler.memory.fixes import Fix, fixes
from compiler.memory.saved import trained
from compiler.report.alternatives import Option, Side, headline, reason, sides
from compiler.report.machine import FORMAT_VERSION, as_data, diagnostic_data, gib, memory_data
from compiler.report.ranking import SHOWN, ranking
from schemas.artifact import Target
from schemas.plan import Decision


def plan_report(
    compiled: Compiled,
    target: Target,
    others: Sequence[Option],
    version: str | None = None,
    tokens: int | None = None,
) -> dict[str, object]:
    """Everything that `ftc plan` shows. Keys may be added, never renamed. `version`: of the tool, if not the tested.
    `tokens`: of an epoch, where they are stated."""
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
        **_estimate(compiled, tokens),
        "diagnostics": [diagnostic_data(item) for item in compiled.diagnostics],
    }
    return {**report, **_elsewhere(compiled, others, tokens)}


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


def _elsewhere(compiled: Compiled, others: Sequence[Option], tokens: int | None) -> dict[str, object]:
    """The recipe elsewhere; with several stacks also one sentence about them. Nothing where nothing was asked for."""
    found = sides(compiled, others)
    by_stack = {side.stack: side for side in found}
    gpu = compiled.plan.hardware.gpu if compiled.plan else None
    ranks = _ranks(compiled, others, tokens)
    listed = [
        _alternative(item, by_stack.get(item.stack) if item.gpu == gpu else None, tokens) | ranks.get(id(item), {})
        for item in others
    ]
    summary: dict[str, object] = {"stacks": headline(found)} if found else {}
    return {**summary, "alternatives": listed} if others else {}


def _ranks(compiled: Compiled, others: Sequence[Option], tokens: int | None) -> dict[int, dict[str, object]]:
    """Of each card that can train it, its rank by cost and by time, and what is decided otherwise for it; of others how
    much they lack. Nothing where stacks alone are compared."""
    if compiled.plan is None or len({item.gpu for item in others}) < 2:
        return {}
    found = ranking(compiled.plan, others, tokens)
    places: dict[int, dict[str, object]] = {
        id(place.option): {
            "rank": {"cost": place.by_cost, "time": place.by_time},
            "settings": as_data({path: value for path, value in place.settings.items() if path in SHOWN}),
        }
        for place in found.places
    }
    lacking = {id(item.option): item for item in found.refusals}
    missing: dict[int, dict[str, object]] = {
        key: {"missing_gib": None if item.missing is None else gib(item.missing)} for key, item in lacking.items()
    }
    return {**places, **missing}


def _alternative(item: Option, side: Side | None, tokens: int | None) -> dict[str, object]:
    """`memory`: with `auto` leaves solved for this stack and card; `settings` says which became others than in the
    plan. `as_planned`: this stack with the plan as it stands, and `reason`: why that is more than another stack's."""
    memory = memory_data(item.compiled.footprint)
    data: dict[str, object] = {
        "stack": item.stack,
        "gpu": item.gpu,
        "memory": memory,
        **_estimate(item.compiled, tokens),
    }
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


def _estimate(compiled: Compiled, tokens: int | None) -> dict[str, object]:
    """Time and cost, None where the recipe has errors."""
    if compiled.plan is None or compiled.footprint is None:
        return {"time": None, "cost": None}
    found = estimate(compiled.plan, compiled.footprint, tokens)
    return {
        "time": {
            **_range("tokens_per_second", found.speed),
            **_range("tokens", found.amount.tokens),
            "positions": found.amount.positions.middle if found.amount.positions else None,
            **_range("hours", found.time),
            "basis": found.basis,
        },
        "cost": {**_range("usd", found.price), "basis": found.cost_basis},
    }


def _range(name: str, found: Range | None) -> dict[str, object]:
    """A figure under its name, and its interval under the same one."""
    ends = (found.middle, found.low, found.high) if found else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
