# pyright: basic
# Strict typing stops at JSON, whose shape formats.py finds out.
"""Rows of training data: numbered, parted and weighted the same way everywhere.

Copied as it stands into every native artifact, so it imports nothing of the compiler. Rows are numbered from 0 over all
sources, each after its limit, those that cannot be trained on included: what is kept for validation depends on nothing
else but the seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from backends.native.files import Advance, blocks, hub_blocks, local_files, records, unseen
from backends.native.findings import AbsentError, DamagedError, RowError, Tally, of_error
from backends.native.formats import Row, convert
from backends.native.readers import Block

Sources = Sequence[Mapping[str, Any]]
Failed = Callable[[DamagedError | AbsentError], None]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A block of a source's rows, the first of which has this number among all rows."""

    source: int
    first: int
    block: Block


def stretches(sources: Sources, advance: Advance = unseen, failed: Failed | None = None) -> Iterator[Stretch]:
    """The rows of all sources as they stand there, in order, each source cut at its limit.

    `failed` is told of files that are damaged and datasets out of reach, and the next one is read; without it the error
    is raised.
    """
    first = 0
    for index, source in enumerate(sources):
        for block in _limited(source, advance, failed):
            yield Stretch(index, first, block)
            first += block.count


def rows_of(stretch: Stretch, sources: Sources, system: str | None, templated: bool) -> Iterator[Row | RowError]:
    """The rows of a stretch, in place of a row that cannot be trained on what is wrong with it.

    `templated`: whether prompts and completions are rendered as conversations.
    """
    source = sources[stretch.source]
    for place, record in records(stretch.block):
        if isinstance(record, RowError):
            yield record
            continue
        try:
            yield convert(record, place, source, system, templated)
        except RowError as error:
            yield error


def read_rows(
    sources: Sources, system: str | None, templated: bool, advance: Advance = unseen
) -> Iterator[Row | RowError]:
    """All rows of all sources, in order. Raises `FileError` for a file that is missing or unreadable."""
    for stretch in stretches(sources, advance):
        yield from rows_of(stretch, sources, system, templated)


def parted(
    rows: Iterable[Row | RowError], held: Callable[[int], bool], met: Tally, *, drop_bad: bool
) -> Iterator[tuple[bool, Row]]:
    """The rows that can be trained on, each with whether it is kept for validation, which `held` says by its number.

    The others go into `met`. Where they are not to be dropped, all rows are read first, and then a `DataError` says
    what is wrong with them.
    """
    for number, row in enumerate(rows):
        if isinstance(row, RowError):
            met.add(of_error(row))
        else:
            yield held(number), row
    if met.bad and not drop_bad:
        raise met.refusal()


def sound(rows: Iterable[Row | RowError], met: Tally, *, drop_bad: bool) -> Iterator[Row]:
    """The rows that can be trained on, as `parted` has them, where none is kept for validation."""
    return (row for _, row in parted(rows, lambda _: False, met, drop_bad=drop_bad))


def count(sources: Sources) -> int:
    """How many rows there are."""
    return sum(stretch.block.count for stretch in stretches(sources))


def score(seed: int, row: int) -> float:
    """Where a row falls in [0, 1): the first eight bytes of sha256 of "seed:row", big end first."""
    return int.from_bytes(sha256(f"{seed}:{row}".encode()).digest()[:8], "big") / 2**64


def chooser(sources: Sources, share: float | int, seed: int) -> Callable[[int], bool]:
    """Whether a row is kept for validation, by its number. A share is decided row by row; of a number of rows the
    lowest scores are taken, so all rows are counted first."""
    if isinstance(share, float):
        return lambda row: score(seed, row) < share
    rows = range(count(sources))
    return frozenset(heapq.nsmallest(share, rows, key=lambda row: score(seed, row))).__contains__


def times(weight: float, number: int, seed: int) -> int:
    """How often an epoch sees the training row of this number: 2.0 twice, 0.5 every second one, chosen by hash."""
    whole = int(weight)
    return whole + (weight > whole and score(seed, number) < weight - whole)


def weighted(rows: Iterable[Row], seed: int) -> Iterator[Row]:
    """Each row as often as its weight says."""
    for number, row in enumerate(rows):
        for _ in range(times(row.weight, number, seed)):
            yield row


def _limited(source: Mapping[str, Any], advance: Advance, failed: Failed | None) -> Iterator[Block]:
    """The first rows. A share is one of all rows of the source, rounded down, so they are counted first: 0.29 of 100
    are 29, though 0.29 * 100 is a little less in floating point."""
    limit = source["limit"]
    if isinstance(limit, float):
        told_later = failed and (lambda _: None)
        limit = int(limit * sum(block.count for block in _blocks(source, unseen, told_later)) + 1e-9)
    for block in _blocks(source, advance, failed):
        if limit is not None and block.count >= limit:
            if limit:
                yield replace(block, count=limit)
            return
        limit = limit - block.count if limit is not None else None
        yield block


def _blocks(source: Mapping[str, Any], advance: Advance, failed: Failed | None) -> Iterator[Block]:
    local = source["local"]
    for found in (blocks(path, advance) for path in local_files(source["path"])) if local else (hub_blocks(source),):
        try:
            yield from found
        except (DamagedError, AbsentError) as error:
            if failed is None:
                raise
            failed(error)
