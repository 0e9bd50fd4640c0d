"""Tokens of an epoch, from rows that were looked at: limits, held-back and cut rows and weights as the run has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from math import sqrt
from statistics import fmean, stdev
from typing import Final

from msgspec import Struct

from backends.alike import told
from backends.native.data import Rules
from backends.native.examine import kept_for_validation
from backends.native.files import local_files
from backends.native.findings import DataError, FileError
from backends.native.formats import Row
from compiler.data.job import job
from compiler.duration.characters import Length
from compiler.duration.characters import lengths as estimated
from compiler.duration.ranges import Range, combined
from compiler.duration.rendering import find_cutter
from compiler.duration.sampling import Sample, sample
from schemas.plan import Plan, SourcePlan

SURE: Final = 2.0
"""Standard errors to each side: the truth is within them in 19 of 20 cases."""
UNSEEN: Final = 0.3
"""How far a source may be from its first rows, as a share, where only these are looked at."""
SCALE: Final = 1000
"""Lengths are counted in so small shares of a row."""
FEW: Final = 0.5
"""The error of a sample in one place."""


class Counted(Struct, frozen=True):
    """`tokens` of an epoch. `sequences`: how many it has, and `lengths`: how long each of them is, as shares.
    `seen` rows were looked at, of `rows`. `cut`: whether the tokenizer itself made the tokens. `scattered`: whether the
    rows that were looked at are from all over the data. `whole`: whether they are all of it."""

    tokens: Range
    sequences: float
    lengths: Counter[int]
    seen: int
    rows: float
    cut: bool
    scattered: bool
    whole: bool


class _Asked:
    """What decides the count of a plan, so that one recipe is counted once for all cards."""

    def __init__(self, plan: Plan) -> None:
        model, data = plan.model, plan.data
        files = [path for source in data.train for path in local_files(source.path)]
        stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        named = (model.base, model.revision, model.tokenizer, model.chat_template, plan.facts.vocab)
        self.key = repr((named, data, plan.training.seed, stamps))
        self.plan = plan

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and other.key == self.key


def count(plan: Plan) -> Counted | str:
    """The tokens of an epoch; why they cannot be told, where they cannot. Hub datasets are not fetched for it."""
    remote = next((source.path for source in plan.data.train if not source.local), None)
    if remote is not None:
        return f'"{remote}" is on the hub, and not read here'
    try:
        return _count(_Asked(plan))
    except FileError as error:
        return str(error)
    except (DataError, OSError) as error:
        return f"the data cannot be read: {error}"
    except ImportError as error:
        return f"the data cannot be read without {error.name}"


@lru_cache(maxsize=16)
def _count(asked: _Asked) -> Counted | str:
    plan = asked.plan
    templated = plan.model.chat_template is not None
    samples = [sample(told(source), plan.data.system, templated=templated) for source in plan.data.train]
    measure, cut = _measure(plan, samples)
    ways = _Ways(plan, measure, _held(plan, samples))
    parts = [_part(*each, ways) for each in zip(plan.data.train, samples, _firsts(samples), strict=True)]
    tokens = sum(part.tokens.middle for part in parts)
    if not tokens:
        return "no row was found that can be trained on"
    lengths = Counter[int]()
    for part in parts:
        lengths.update(part.lengths)
    return Counted(
        # What a tokenizer makes of texts is too much or too little for all sources: their errors add up.
        Range(sum(part.tokens.low for part in parts), tokens, sum(part.tokens.high for part in parts)),
        sum(part.sequences for part in parts),
        lengths,
        sum(item.seen for item in samples),
        sum(item.rows for item in samples),
        cut,
        all(item.scattered for item in samples),
        all(item.whole for item in samples),
    )


class _Part(Struct, frozen=True):
    """A source's share of an epoch."""

    tokens: Range
    sequences: float
    lengths: Counter[int]


Measure = Callable[[Sequence[Row]], list[tuple[Length, ...]]]


class _Ways(Struct, frozen=True):
    """How long rows are, and which of them are kept for validation, by number or as a share."""

    plan: Plan
    measure: Measure
    held: Callable[[int], bool] | float


def _measure(plan: Plan, samples: Sequence[Sample]) -> tuple[Measure, bool]:
    """How long rows are: by the tokenizer where it is here and takes them, else by their characters."""

    def guess(rows: Sequence[Row]) -> list[tuple[Length, ...]]:
        return estimated(rows, plan.facts.vocab)

    cutter = find_cutter(plan)
    first = next((row for item in samples for group in item.groups for row in group if isinstance(row, Row)), None)
    if cutter is None or first is None or cutter.lengths([first]) is None:
        return guess, False
    return (lambda rows: cutter.lengths(rows) or guess(rows)), True


def _firsts(samples: Sequence[Sample]) -> Iterator[int]:
    """The number of each source's first row among all."""
    first = 0
    for item in samples:
        yield first
        first += round(item.rows)


def _held(plan: Plan, samples: Sequence[Sample]) -> Callable[[int], bool] | float:
    """Which rows are kept for validation, by number where all are known, else the share of them."""
    share = plan.data.validation
    if not isinstance(share, int | float):
        return 0.0
    if all(item.whole for item in samples):
        return kept_for_validation(job(plan))
    rows = sum(item.rows for item in samples)
    return share if isinstance(share, float) else min(share / rows, 1.0) if rows else 0.0


def _part(source: SourcePlan, found: Sample, first: int, ways: _Ways) -> _Part:
    plan, measure, held = ways.plan, ways.measure, ways.held
    rules = Rules(plan.data.loss_on, plan.data.max_length, plan.data.overlong)
    groups, number = list[list[tuple[Row, tuple[Length, ...]]]](), first
    for group in found.groups:
        kept = [
            row for at, row in enumerate(group, number) if isinstance(row, Row) and not (callable(held) and held(at))
        ]
        number += len(group)
        groups.append(list(zip(kept, measure(kept), strict=True)) if kept else [])
    times = source.weight * (1 if callable(held) else 1 - held) * (found.rows / found.seen if found.seen else 0)
    sums = [[_sum(group, end, rules) for group in groups] for end in ("low", "middle", "high")]
    low, middle, high = (sum(each) * times for each in sums)
    pieces = [length for group in groups for row in group for length in _pieces(*row, "middle", rules)]
    lengths = Counter[int]()
    for length in pieces:
        lengths[length] += round(SCALE * times)
    spread = Range(min(low, middle), middle, max(high, middle))
    return _Part(combined(middle, (spread, *_sampling(found, sums[1]))), len(pieces) * times, lengths)


def _sampling(found: Sample, sums: Sequence[float]) -> tuple[Range, ...]:
    """How far the source may be from its sample: by how much the places differ that were looked at."""
    if found.whole:
        return ()
    error = SURE * stdev(sums) / fmean(sums) / sqrt(len(sums)) if len(sums) > 1 and any(sums) else FEW
    error = min(error, FEW) if found.scattered else max(error, UNSEEN)
    return (Range(1 / (1 + error), 1, 1 + error),)


def _sum(group: Sequence[tuple[Row, tuple[Length, ...]]], end: str, rules: Rules) -> float:
    return float(sum(sum(_pieces(row, lengths, end, rules)) for row, lengths in group))


def _pieces(row: Row, lengths: tuple[Length, ...], end: str, rules: Rules) -> list[int]:
    """What is trained of a row, in tokens; nothing of one that is too long and left out."""
    found = [max(round(getattr(length, end)), 1) for length in lengths]
    limit = rules.max_length
    if all(length <= limit for length in found):
        return found
    if rules.overlong == "split" and row.cuttable:
        return [min(limit, length - start) for length in found for start in range(0, length, limit)]
    return [] if rules.overlong == "drop" else [min(length, limit) for length in found]
