"""What programs read: the JSON of `validate`, and the memory and plan that `plan` shares with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, cast

from msgspec import Struct
from pydantic import BaseModel

from schemas.diagnostic import Diagnostic
from schemas.facts import GIB
from schemas.footprint import Footprint, Live, Parts, Phases

FORMAT_VERSION: Final = 1


def as_json(value: object) -> str:
    """Readable, the same bytes every time."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def as_data(value: object) -> object:
    """Structs, models and tuples as what JSON has."""
    if isinstance(value, Struct):
        return {name: as_data(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, tuple | list | frozenset):
        return [as_data(item) for item in cast(Iterable[object], value)]
    if isinstance(value, dict):
        return {str(key): as_data(item) for key, item in cast(dict[object, object], value).items()}
    return value


def diagnostic_data(item: Diagnostic) -> dict[str, object]:
    """One finding, its place flat."""
    return {
        "code": item.code,
        "level": item.level,
        "message": item.message,
        "file": item.file,
        "line": item.span.line,
        "column": item.span.column,
        "end_line": item.span.end_line,
        "end_column": item.span.end_column,
        "path": item.path,
        "hint": item.hint,
    }


def gib(size: int) -> float:
    """Bytes as GiB, to a tenth of a MiB: small models need the places."""
    return round(size / GIB, 4)


def memory_data(footprint: Footprint | None) -> dict[str, object] | None:
    """The footprint in GiB; None where the recipe has errors."""
    if footprint is None:
        return None
    return {
        "verdict": footprint.verdict,
        "capacity_gib": None if footprint.capacity is None else gib(footprint.capacity),
        "allocated_gib": gib(footprint.allocated),
        "reserved_gib": gib(footprint.reserved),
        "device_gib": gib(footprint.device),
        "low_gib": gib(footprint.low),
        "high_gib": gib(footprint.high),
        "method": footprint.method,
        "confidence": footprint.confidence,
        "phases": _sizes(footprint.phases),
        "host_ram_gib": gib(footprint.host_ram),
        "parts": _sizes(footprint.parts),
        "parts_by_phase": {phase: _sizes(parts) for phase, parts in footprint.by_phase.items()},
        "live": [_live(item) for item in footprint.live],
        "stack": footprint.stack,
        "because": list(footprint.because),
    }


def _live(item: Live) -> dict[str, object]:
    return {
        "part": item.part,
        "module": item.module,
        "tensor": item.tensor,
        "op": item.op,
        "count": item.count,
        "size_gib": gib(item.size),
    }


def _sizes(sizes: Phases | Parts) -> dict[str, float]:
    return {name: gib(getattr(sizes, name)) for name in sizes.__struct_fields__}


def validation_data(
    file: str, found: Sequence[Diagnostic], memory: Footprint | None, more: Iterable[Footprint] = ()
) -> dict[str, object]:
    """What `validate` says about one recipe. `more`: the footprints of the other targets, if several were asked for."""
    errors = sum(item.level == "error" for item in found)
    data: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "file": file,
        "valid": not errors,
        "error_count": errors,
        "warning_count": len(found) - errors,
        "diagnostics": [diagnostic_data(item) for item in found],
        "memory": memory_data(memory),
    }
    others = [memory_data(item) for item in more]
    return {**data, "alternatives": others} if others else data


def unreadable_data(file: str, why: str) -> dict[str, object]:
    """A file that could not be read: not valid, and nothing to point at in it."""
    counts: dict[str, object] = {"valid": False, "error_count": 1, "warning_count": 0}
    return {"format_version": FORMAT_VERSION, "file": file, **counts, "diagnostics": [], "memory": None, "error": why}


def summed(results: Sequence[dict[str, object]]) -> dict[str, object]:
    """Several recipes: one object each under `results`, and their counts together."""
    return {
        "format_version": FORMAT_VERSION,
        "valid": all(result["valid"] for result in results),
        "error_count": sum(cast(int, result["error_count"]) for result in results),
        "warning_count": sum(cast(int, result["warning_count"]) for result in results),
        "diagnostics": [],
        "memory": None,
        "results": list(results),
    }
