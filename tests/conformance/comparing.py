"""Field by field: what a plan says beside what a tool will do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from samples import ROWS

from backends.native.data import IGNORED

MARK = re.compile(r"<[a-z_]+-\d+>")
LAST = f"-{ROWS}>"
"""How the mark of the row that is too long ends."""

Row = Mapping[str, Any]
Rows = Sequence[Row]


class Difference(Struct, frozen=True):
    """`excused`: the finding that says so."""

    field: str
    planned: object
    found: object
    excused: str | None = None


def compare(planned: Mapping[str, Any], found: Mapping[str, Any], unshown: Mapping[str, str]) -> Iterator[Difference]:
    """The fields that differ; so do those that a tool does not show without a known reason, or shows in spite of it."""
    for field, value in planned.items():
        if (field in found) is (field in unshown):
            said = "shown, although it is said not to be" if field in found else "not shown, and no reason is known"
            yield Difference(field, value, said)
        elif field in unshown:
            continue
        elif not alike(value, found[field]):
            yield Difference(field, value, found[field])


def alike(left: object, right: object) -> bool:
    """Equal, numbers to six digits."""
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, bool) or isinstance(right, bool) or not isinstance(left, int | float):
        return (left == right and type(left) is type(right)) or (left is None and right is None)
    return isinstance(right, int | float) and abs(left - right) <= 1e-6 * max(abs(left), abs(right), 1e-9)


# --- rows


class Sight(Struct, frozen=True):
    """What can be seen in rows. `ordered`: their order counts; `masked`: what is trained; `cut`: what became of the row
    that is too long. `written`: the field that what is written stands for; `shortened`: how long it is."""

    ordered: bool
    masked: bool
    cut: bool
    written: str
    shortened: str


def compare_rows(what: str, planned: Rows, found: Rows, sight: Sight) -> Iterator[Difference]:
    """Rows by their marks, or by their texts where they have none."""
    name = mark if any(map(mark, planned)) else text
    ours, theirs = ([row for row in rows if name(row) and LAST not in name(row)] for rows in (planned, found))
    names, others = list(map(name, ours)), list(map(name, theirs))
    if sorted(names) != sorted(others):
        yield Difference(what, sorted(names), sorted(others))
        return
    if sight.ordered and names != others:
        yield Difference("data.shuffle.order", names, others)
    yield from _first(_contents(sorted(ours, key=name), sorted(theirs, key=name), sight))
    if sight.cut and name is mark:
        yield from _long(planned, found, sight)


def mark(row: Row) -> str:
    """What a row is known by, with the answer's first words where two answers share a prompt."""
    named = MARK.search(row["text"])
    return (named.group() if named else "") + ("/rejected" if "I do not know" in row["text"] else "")


def text(row: Row) -> str:
    """The whole of it."""
    return row["text"]


def _contents(ours: Rows, theirs: Rows, sight: Sight) -> Iterator[Difference]:
    for one, two in zip(ours, theirs, strict=True):
        if one["ids"] != two["ids"]:
            yield Difference(sight.written, one["text"], two["text"])
        elif sight.masked and _labels(one) != _labels(two):
            same = "".join(one["trained"].split()) == "".join(two["trained"].split())
            field = "model.chat_template.ends" if same else "data.loss_on"
            yield Difference(field, one["trained"], two["trained"])


def _labels(row: Row) -> list[int]:
    """Nothing comes before the first token from which it could be predicted: its label is never used."""
    return [IGNORED, *row["labels"][1:]]


def _first(differences: Iterator[Difference]) -> Iterator[Difference]:
    """One of each field: rows differ alike."""
    seen: set[str] = set()
    for item in differences:
        if item.field not in seen:
            seen.add(item.field)
            yield item


def _long(planned: Rows, found: Rows, sight: Sight) -> Iterator[Difference]:
    """Lengths and beginnings of what is left of the row that is too long."""
    ours, theirs = (sorted(_rest(rows)) for rows in (planned, found))
    if ours != theirs:
        yield Difference(sight.shortened, [len(ids) for ids in ours], [len(ids) for ids in theirs])


def _rest(rows: Rows) -> list[list[int]]:
    return [list(row["ids"]) for row in rows if not mark(row) or LAST in mark(row)]
