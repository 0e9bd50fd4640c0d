"""What programs read of a sweep: its axes and points, with what each needs or why it is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from compiler.lock import tool
from compiler.overrides import read_value
from compiler.report.machine import FORMAT_VERSION, diagnostic_data, gib
from compiler.sweep.axes import Axis
from compiler.sweep.sweeping import Outcome, State, Sweep
from schemas.artifact import Target
from schemas.footprint import Footprint
from schemas.version import VERSION


def sweep_data(
    sweep: Sweep, found: Sequence[Outcome], target: Target, version: str | None = None, stack: str | None = None
) -> dict[str, Any]:
    """The JSON of a sweep. Fields may be added, never renamed. `version`: of the tool, if not the tested."""
    counts = Counter(item.state for item in found)
    return {
        "format_version": FORMAT_VERSION,
        "kind": "sweep",
        "ftc": VERSION,
        "name": sweep.base,
        "recipe": {
            "file": Path(sweep.name).name,
            "sha256": sha256(sweep.text.encode()).hexdigest(),
            "set": list(sweep.sets),
        },
        "target": target,
        "tool": tool(target, version),
        "stack": stack or target,
        "axes": axes_data(sweep.axes),
        "counts": {state: counts[state] for state in get_args(State)},
        "points": [point_data(item) for item in found],
    }


def point_data(item: Outcome) -> dict[str, object]:
    """A point. `set`: the values of its axes, typed; `memory` and what follows are None where it is refused."""
    point, time = item.point, item.time
    return {
        "number": point.number,
        "point": point.folder,
        "run": point.run,
        "set": typed(point.values),
        "verdict": item.state,
        "memory": _memory(item.footprint),
        "tokens_per_second": time and time.tokens_per_second,
        "hours": time and time.hours,
        "usd": time and time.usd,
        "time_basis": time and time.basis,
        "cost_basis": time and time.cost_basis,
        "diagnostics": [diagnostic_data(found) for found in item.diagnostics],
    }


def axes_data(axes: Sequence[Axis]) -> list[dict[str, object]]:
    """Each axis with its values, typed."""
    texts = ((axis.key, {value.text: value.text for value in axis.values}) for axis in axes)
    return [{"key": key, "values": list(typed(found).values())} for key, found in texts]


def typed(values: Mapping[str, str]) -> dict[str, object]:
    """Values as YAML reads them; text where JSON has no such number."""
    return {key: _json(read_value(text).data, text) for key, text in values.items()}


def _json(read: dict[str, object] | None, text: str) -> object:
    value = (read or {}).get("value")
    return text if isinstance(value, float) and not isfinite(value) else value


def _memory(footprint: Footprint | None) -> dict[str, object] | None:
    if footprint is None:
        return None
    return {
        "device_gib": gib(footprint.device),
        "low_gib": gib(footprint.low),
        "high_gib": gib(footprint.high),
        "capacity_gib": None if footprint.capacity is None else gib(footprint.capacity),
        "confidence": footprint.confidence,
    }
