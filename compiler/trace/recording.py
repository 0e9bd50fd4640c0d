"""What a traced run allocated and freed. No torch: recordings are read where none is."""

from __future__ import annotations

from msgspec import Struct


class Allocation(Struct):
    """One storage. `phase`: load, step, optimizer or eval. `part`: set for weights, gradients and the like, which are
    known by who holds them; empty where only the operator tells."""

    size: int
    op: str
    module: str
    dtype: str
    shape: tuple[int, ...]
    phase: str
    part: str = ""


class Recording(Struct):
    """`events`: allocation numbers in order, negated and less one where they are freed (-1 frees number 0).

    `marks`: (number of events so far, phase) at each change of phase.
    """

    allocations: list[Allocation]
    events: list[int]
    marks: list[tuple[int, str]]
