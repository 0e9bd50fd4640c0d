# pyright: basic
# Strict typing stops at numpy, whose types are loose.
"""From sources to training rows as arrays: read, checked, parted, rendered, masked and cut, by several processes.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from backends.native.data import IGNORED, Counts, Rules, Tokens
from backends.native.examine import Examined, Examiner, judged
from backends.native.files import Advance, unseen
from backends.native.findings import Tally
from backends.native.parallel import in_order
from backends.native.rows import Stretch, stretches, times


@dataclass(slots=True)
class Part:
    """Training rows of a stretch, or those kept of it for validation. `lengths`: of the pieces, whose ids and labels
    follow one another; `owners`: the row that each is of, counted from 0 among the `rows` that could be read. `good`:
    of answers that are judged, whether each is; None for other rows."""

    counts: Counts = field(default_factory=Counts)
    met: Tally = field(default_factory=Tally)
    rows: int = 0
    weight: float = 1.0
    ids: Any = None
    labels: Any = None
    lengths: Any = None
    owners: Any = None
    good: Any = None


def read_parts(
    examiner: Examiner, held: Callable[[int], bool], workers: int, advance: Advance = unseen
) -> Generator[tuple[Part, Part]]:
    """Each stretch of the sources as training rows and rows for validation, which `held` says by their number."""
    job, sources = examiner.job, examiner.sources

    def work(stretch: Stretch) -> tuple[Part, Part]:
        found = examiner.examine(stretch)
        weight = sources[stretch.source]["weight"]
        kept = [held(item.number) for item in found]
        return (
            _part([item for item, chosen in zip(found, kept, strict=True) if not chosen], job.rules, weight),
            _part([item for item, chosen in zip(found, kept, strict=True) if chosen], job.rules, 1.0),
        )

    yield from in_order(work, stretches(sources, advance), workers)


def _part(found: list[Examined], rules: Rules, weight: float) -> Part:
    part = Part(weight=weight)
    pieces: list[Tokens] = []
    owners: list[int] = []
    good: list[bool] = []
    for item in found:
        part.counts.read += 1
        kept = judged(item, rules, part.counts)
        for note in item.met:
            part.met.add(note)
        pieces += kept
        owners += [part.rows] * len(kept)
        if item.row and item.row.label is not None:
            good += [item.row.label] * len(kept)
        part.rows += item.row is not None
    part.ids = np.fromiter(chain.from_iterable(piece.ids for piece in pieces), np.int32)
    part.labels = _labels(part.ids, pieces)
    part.lengths = np.array([len(piece.ids) for piece in pieces], np.int32)
    part.owners = np.array(owners, np.int32)
    part.good = np.array(good, np.bool_) if good else None
    return part


def _labels(ids: Any, pieces: list[Tokens]) -> Any:
    labels = np.full(len(ids), IGNORED, np.int32)
    at = 0
    for piece in pieces:
        for start, end in piece.spans:
            labels[at + start : at + end] = ids[at + start : at + end]
        at += len(piece.ids)
    return labels


def repeated(part: Part, first: int, seed: int) -> Any:
    """How often an epoch sees each piece, by the weight of its source; `first`: the number of the part's first row."""
    if part.weight == 1:
        return np.ones(len(part.lengths), np.int64)
    each = np.array([times(part.weight, first + row, seed) for row in range(part.rows)], np.int64)
    return each[part.owners]
