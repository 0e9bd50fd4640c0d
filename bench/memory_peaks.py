"""From a recording to its peaks: live bytes in each phase, and what is alive at the largest."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Final

from msgspec import Struct

from compiler.memory.allocator import cublas
from schemas.plan import Plan

ROUND: Final = 512
"""Bytes that torch rounds each allocation to."""


class Peaks(Struct, frozen=True):
    """Bytes. `phases`: the largest of each. `live`: (bytes, count, what) at the largest of all."""

    allocated: int
    phases: dict[str, int]
    live: tuple[tuple[int, int, str], ...]


def peaks(recording: Any, plan: Plan) -> Peaks:
    """Peaks of live tensors, with cuBLAS's workspaces, which torch's allocator hands out too."""
    sizes = [-(-item.size // ROUND) * ROUND for item in recording.allocations]
    marks = [*recording.marks, (len(recording.events) + 1, "")]
    phase, turn, live, at = "load", 0, 0, 0
    found: dict[str, int] = {}
    for number, event in enumerate(recording.events):
        while marks[turn][0] <= number:
            phase, turn = marks[turn][1], turn + 1
        live += sizes[event] if event >= 0 else -sizes[-event - 1]
        if live > max(found.values(), default=0):
            at = number
        found[phase] = max(found.get(phase, 0), live)
    found.pop("end", None)
    workspace = cublas(plan.gpu)
    phases = {name: size + (workspace if name in ("step", "optimizer", "eval") else 0) for name, size in found.items()}
    return Peaks(max(phases.values()), phases, _live(recording, at))


def _live(recording: Any, at: int, count: int = 12) -> tuple[tuple[int, int, str], ...]:
    """What is alive after that event, alike things together."""
    alive: set[int] = set()
    for event in recording.events[: at + 1]:
        if event >= 0:
            alive.add(event)
        else:
            alive.discard(-event - 1)
    groups: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for number in alive:
        item = recording.allocations[number]
        shape = "" if item.part else str(list(item.shape))
        what = f"{item.part or item.op} {re.sub(r'[0-9]+', '*', item.module)} {item.dtype}{shape}"
        groups[what][0] += item.size
        groups[what][1] += 1
    largest = sorted(groups.items(), key=lambda entry: -entry[1][0])[:count]
    return tuple((size, number, " ".join(what.split())) for what, (size, number) in largest)
