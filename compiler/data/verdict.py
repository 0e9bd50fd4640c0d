"""What a survey of the rows amounts to: findings with their places, figures, and whether the rows can be trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from backends.native.data import Counts, Rules, nothing
from backends.native.findings import UNREACHED, UNREADABLE, Met, Place
from compiler.codes import pages
from compiler.data.lengths import Bar, Filled, Spread, bars, over, packed, padded, spread, weighted
from compiler.data.showing import Shown
from compiler.data.survey import PARTS, End, Measured, Part, Survey
from schemas.diagnostic import Finding, Level
from schemas.plan import Plan, is_sources

MOST: Final = 0.5
"""Answers of which more than this share end alike are said to end so."""


class RowFinding(Struct, frozen=True):
    """Something about `rows` rows of a part. `file`, `line`: the first of them, `counted` where it is a row's number
    and no line, 0 where it is the whole; `more`: the places of the next ones."""

    code: str
    level: Level
    part: Part
    message: str
    file: str
    line: int
    counted: bool
    rows: int
    more: tuple[str, ...]


class Figures(Struct, frozen=True):
    """A part in numbers. `lengths`, `bars`, `over`: of rows as they are rendered, however long."""

    counts: Counts
    lengths: Spread | None
    bars: tuple[Bar, ...]
    over: int
    ends: tuple[tuple[End, int], ...]

    @property
    def trained_share(self) -> float:
        """Of the tokens that go through the model, those that are learnt."""
        return self.counts.trained_tokens / self.counts.tokens if self.counts.tokens else 0.0


class Epoch(Struct, frozen=True):
    """`tokens` of an epoch, weights applied; `rows`: packed ones where rows are packed; `steps` of the whole run."""

    tokens: int
    rows: int
    filled: float
    steps: int


class Verdict(Struct, frozen=True):
    """`findings`: about rows; `about`: about all of them, with the recipe's leaf to look at. `epoch` is None where no
    tokens were counted. `alike`: rows that are nearly the same, of so many, with pairs of them."""

    findings: tuple[RowFinding, ...]
    about: tuple[Finding, ...]
    figures: dict[Part, Figures]
    epoch: Epoch | None
    shown: tuple[Shown, ...]
    rows: tuple[tuple[int, ...], tuple[int, ...]]
    alike: tuple[int, int, tuple[tuple[str, str], ...]] | None

    @property
    def valid(self) -> bool:
        """Whether the rows can be trained on as they are, as far as they can be had."""
        return all(item.level != "error" or item.code == UNREACHED for item in (*self.findings, *self.about))

    @property
    def readable(self) -> bool:
        """Whether every file could be read to its end."""
        return all(item.code != UNREADABLE for item in self.findings)

    @property
    def reached(self) -> bool:
        """Whether every dataset of the hub can be had here."""
        return all(item.code != UNREACHED for item in self.findings)


def verdict(found: Survey, plan: Plan, *, tokenized: bool) -> Verdict:
    """Judge what was surveyed. Places are shown from the working folder on."""
    parts = PARTS if plan.data.validation is not None else PARTS[:1]
    figures: dict[Part, Figures] = {part: _figures(found.parts[part], plan) for part in parts}
    findings = tuple(_row_findings(found, plan))
    whole = all(item.code not in (UNREADABLE, UNREACHED) for item in findings)
    about = tuple(_about(found, plan, tokenized=tokenized)) if whole else ()
    alike = found.alike and (
        found.alike.rows,
        found.alike.looked_at,
        tuple((_from(a), _from(b)) for a, b in found.pairs),
    )
    return Verdict(
        findings,
        about,
        figures,
        _epoch(found, plan) if tokenized and whole and found.parts["train"].counts.kept else None,
        tuple(replace(row, place=_from(row.place)) for row in found.shown),
        (tuple(found.rows[0]), tuple(found.rows[1])),
        alike,
    )


def _about(found: Survey, plan: Plan, *, tokenized: bool) -> Iterator[Finding]:
    """What there is to say of all rows together."""
    yield from _empty(found, plan)
    yield from _untrained(found, plan) if tokenized else ()
    yield from _ends(found)


def _from(said: str) -> str:
    """Without the folder that we are in, where a path begins with it."""
    return re.sub(rf"(?<![\w./-]){re.escape(str(Path.cwd()))}/", "", said)


def _row_findings(found: Survey, plan: Plan) -> Iterator[RowFinding]:
    each = [
        _row_finding(code, part, met, drop=plan.data.bad_rows == "drop")
        for part in PARTS
        for code, met in found.parts[part].met.met.items()
    ]
    yield from sorted(each, key=lambda item: (item.level != "error", item.code, PARTS.index(item.part)))


def _row_finding(code: str, part: Part, met: Met, *, drop: bool) -> RowFinding:
    first = met.first[0]
    place = first.place if isinstance(first.place, Place) else Place(first.place, 0)
    level: Level = "warning" if drop and code not in (UNREADABLE, UNREACHED) else pages()[code].level
    more = tuple(_from(str(note.place)) for note in met.first[1:])
    what = _from(first.what)
    return RowFinding(code, level, part, what, _from(place.file), place.number, place.counted, met.count, more)


def _figures(measured: Measured, plan: Plan) -> Figures:
    limit = plan.data.max_length
    lengths = measured.lengths
    return Figures(
        measured.counts, spread(lengths), bars(lengths, limit), over(lengths, limit), tuple(measured.ends.most_common())
    )


def _empty(found: Survey, plan: Plan) -> Iterator[Finding]:
    """No rows, or none left to train on."""
    train, held = (found.parts[part].counts.read for part in PARTS)
    share = plan.data.validation
    if not train + held:
        yield Finding("FTC553", "data.train", "there are no rows")
    elif not train:
        message = f"data.validation keeps back all {held} rows, and none is left to train on"
        yield Finding("FTC553", "data.validation", message, "write a number of rows, or null for no validation")
    for path, index, count in _sources(found, plan):
        if not count and train + held:
            yield Finding("FTC553", f"{path}[{index}].path" if index else path, "this source has no rows")
    if train and not held and share is not None and not is_sources(share):
        message = f"there is nothing to validate with: {share} of {train} rows are none"
        hint = "write a number of rows, sources of its own, or null for no validation"
        yield Finding("FTC553", "data.validation", message, hint)


def _sources(found: Survey, plan: Plan) -> Iterator[tuple[str, int, int]]:
    """Each source's list and number in it, and how many rows it has."""
    own = plan.data.validation
    for path, sources, counts in zip(
        ("data.train", "data.validation"), (plan.data.train, own if is_sources(own) else ()), found.rows, strict=True
    ):
        yield from ((path, index, sum(counts[index : index + 1])) for index in range(len(sources)))


def _untrained(found: Survey, plan: Plan) -> Iterator[Finding]:
    """Parts of which no row is left that is learnt from; where all are bad, that is an error of each."""
    data = plan.data
    for part in PARTS:
        counts = found.parts[part].counts
        told = counts.bad == counts.read and (data.bad_rows == "error" or not counts.read)
        problem = None if told else nothing(counts, Rules(data.loss_on, data.max_length, data.overlong), part)
        if problem:
            yield Finding("FTC550", f"data.{part}", str(problem))
    if found.parts["train"].counts.kept:
        yield from _idle(found, plan)


def _idle(found: Survey, plan: Plan) -> Iterator[Finding]:
    """Sources of which nothing is trained, though of others something is; and weights that leave no row."""
    for index, (source, count, pieces) in enumerate(zip(plan.data.train, found.training, found.pieces, strict=False)):
        if count and not pieces and len(plan.data.train) > 1:
            message = f"of the {count:,} rows of this source nothing is trained"
            yield Finding("FTC550", f"data.train[{index}].path", message, "mend its rows, or take it out")
        elif pieces and not weighted([pieces], [source.weight]).total():
            message = f"a weight of {source.weight:g} leaves none of {pieces.total():,} rows"
            yield Finding("FTC550", f"data.train[{index}].weight", message, "raise it, or take the source out")


def _ends(found: Survey) -> Iterator[Finding]:
    """Whether answers end with a token at which generation stops."""
    ends = found.parts["train"].ends + found.parts["validation"].ends
    total = ends.total()
    if not total:
        return
    end, count = ends.most_common(1)[0]
    if end.token and not end.stops and count > MOST * total:
        message = f"answers end with {end.token}, and generation does not stop at it"
        yield Finding("FTC552", "data.train", message, f'write model.tokens: {{eos: "{end.token}"}}', "warning")
    elif not any(end.stops for end in ends):
        message = f"none of {total:,} answers ends with a token that generation stops at"
        yield Finding("FTC551", "data.train", message, _remedy(found))


def _remedy(found: Survey) -> str:
    """What to do where no end is trained: it may have been cut off."""
    counts = found.parts["train"].counts
    if counts.truncated > MOST * counts.kept:
        return "the rows are cut before their ends: raise data.max_length, or write overlong: drop"
    return "set model.tokens.eos, or a chat template that ends each turn with a special token"


def _epoch(found: Survey, plan: Plan) -> Epoch:
    data, training = plan.data, plan.training
    lengths = weighted(found.pieces, [source.weight for source in data.train])
    # A row of two answers is two sequences.
    each = 2 if all(source.format == "preference" for source in data.train) else 1
    micro = training.micro_batch_size * each
    filled: Filled = packed(lengths, data.max_length) if data.packing else padded(lengths, micro)
    rows = ceil(filled.rows / each)
    per_epoch = ceil(rows / training.global_batch_size)
    steps = training.max_steps or ceil(per_epoch * (training.epochs or 1))
    tokens = sum(length * count for length, count in lengths.items())
    return Epoch(tokens, rows, filled.share, steps)
