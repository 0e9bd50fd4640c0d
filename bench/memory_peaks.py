"""A recording's peaks: live bytes in each phase, what is alive at the largest, what is reserved for it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from compiler.memory.allocator import cublas
from compiler.memory.segments import replay
from compiler.memory.stacks import profile
from schemas.footprint import Stack
from schemas.plan import Plan

ROUND: Final = 512
"""Bytes that torch rounds each allocation to."""
BUSY: Final = ("step", "optimizer", "eval")
"""Phases in which cuBLAS has its workspaces, which torch's allocator hands out too."""


class Peaks(Struct, frozen=True):
    """Bytes. `phases`: the largest of each. `live`: (bytes, count, what) at the largest of all."""

    allocated: int
    reserved: int
    phases: dict[str, int]
    live: tuple[tuple[int, int, str], ...]


def peaks(recording: Any, plan: Plan, stack: Stack) -> Peaks:
    """Peaks of live tensors and of the segments that the caching allocator takes for them."""
    found, at = _phases(recording)
    workspace = cublas(plan.gpu)
    phases = {name: size + (workspace if name in BUSY else 0) for name, size in found.items() if name != "end"}
    expandable = profile(stack).expandable_segments
    reserved = replay(list(_events(recording, workspace)), expandable=expandable).reserved
    return Peaks(max(phases.values()), reserved, phases, _live(recording, at))


def _phases(recording: Any) -> tuple[dict[str, int], int]:
    """The most bytes alive in each phase, and the event that made the most of all."""
    sizes = [-(-item.size // ROUND) * ROUND for item in recording.allocations]
    marks = [*recording.marks, (len(recording.events) + 1, "")]
    phase, turn, live, most, at = "load", 0, 0, 0, 0
    found: dict[str, int] = {}
    for number, event in enumerate(recording.events):
        while marks[turn][0] <= number:
            phase, turn = marks[turn][1], turn + 1
        live += sizes[event] if event >= 0 else -sizes[-event - 1]
        if live > most:
            most, at = live, number
        found[phase] = max(found.get(phase, 0), live)
    return found, at


def _events(recording: Any, workspace: int) -> Iterator[tuple[int, int]]:
    """As the allocator sees them. The workspace comes with the first step."""
    first = recording.marks[0][0] if recording.marks else 0
    for number, event in enumerate(recording.events):
        if number == first and workspace:
            yield -1, workspace
        yield (event, recording.allocations[event].size) if event >= 0 else (-event - 1, 0)


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
