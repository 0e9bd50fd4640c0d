"""The moments of a recording at which most is alive."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from compiler.trace.recording import Recording

ROUND: Final = 512
"""Bytes that torch rounds each allocation to, and counts."""
PHASES: Final = ("load", "step", "optimizer", "eval")


class Peak(Struct, frozen=True):
    """`size`: live bytes. `event`: how many events have happened by then."""

    size: int
    event: int


def peaks(recording: Recording) -> dict[str, Peak]:
    """The largest moment of each phase, what was there when it began included."""
    sizes = [rounded(item.size) for item in recording.allocations]
    marks = dict(recording.marks)
    found: dict[str, Peak] = {}
    phase, live = "load", 0
    for done, event in enumerate((*recording.events, None)):
        phase = marks.get(done, phase)
        if phase in PHASES and (phase not in found or live > found[phase].size):
            found[phase] = Peak(live, done)
        if event is not None:
            live += sizes[event] if event >= 0 else -sizes[-event - 1]
    return found


def alive(recording: Recording, peak: Peak) -> tuple[int, ...]:
    """The numbers of the allocations that are there at this moment."""
    found: dict[int, None] = {}
    for event in recording.events[: peak.event]:
        if event >= 0:
            found[event] = None
        else:
            del found[-event - 1]
    return tuple(found)


def rounded(size: int) -> int:
    """Bytes that torch hands out when it is asked for this many."""
    return -(-size // ROUND) * ROUND
