"""A recording read: its peaks, their parts, what the allocator would have reserved. Small enough to keep."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory.segments import Reserved, replay
from compiler.trace.live import largest
from compiler.trace.parts import Sorter, summed
from compiler.trace.peak import Peak, alive, peaks
from compiler.trace.recording import Recording
from schemas.footprint import Live, Parts


class Traced(Struct, frozen=True):
    """Bytes. `phases`: live tensors at each phase's peak by part. `live`: the largest things at the largest peak.

    `plain` and `expandable`: what the caching allocator holds with segments of fixed and of growing size. `versions`:
    package → version.
    """

    phases: dict[str, Parts]
    live: tuple[Live, ...]
    plain: Reserved
    expandable: Reserved
    versions: dict[str, str]


def total(parts: Parts) -> int:
    """Live bytes."""
    return sum(getattr(parts, name) for name in parts.__struct_fields__)


def read(recording: Recording, vocab: int, cublas: int, divisions: int, versions: dict[str, str]) -> Traced:
    """`cublas`: bytes of its two workspaces, which a trace has not. `divisions`: see `memory.segments.replay`."""
    sorter = Sorter(recording, vocab)
    moments = peaks(recording)
    found = {phase: summed(recording, alive(recording, peak), sorter) for phase, peak in moments.items()}
    phases = {phase: _with_cublas(parts, phase, cublas) for phase, parts in found.items()}
    highest = moments[max(phases, key=lambda phase: total(phases[phase]))]
    return Traced(
        phases=phases,
        live=_largest(recording, highest, sorter),
        plain=replay(_events(recording, cublas), roundup_divisions=divisions),
        expandable=replay(_events(recording, cublas), expandable=True, roundup_divisions=divisions),
        versions=versions,
    )


def _largest(recording: Recording, peak: Peak, sorter: Sorter) -> tuple[Live, ...]:
    return largest(recording, alive(recording, peak), sorter)


def _with_cublas(parts: Parts, phase: str, cublas: int) -> Parts:
    return parts if phase == "load" else replace(parts, workspace=parts.workspace + cublas)


def _events(recording: Recording, cublas: int) -> list[tuple[int, int]]:
    """The recording as the allocator sees it: cuBLAS asks for its workspaces at the first product, and keeps them."""
    sizes = [item.size for item in recording.allocations]
    events = [(item, sizes[item]) if item >= 0 else (-item - 1, 0) for item in recording.events]
    first = next(done for done, phase in recording.marks if phase == "step")
    workspaces = [(len(sizes) + number, cublas // 2) for number in range(2)] if cublas else []
    return [*events[:first], *workspaces, *events[first:]]
