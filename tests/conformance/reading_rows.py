"""The rows as a trainer has them: token ids, and which of them are trained. Runs in the tools' own Pythons."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

IGNORED = -100
Piece = tuple[list[int], list[int]]


def read_rows(dataset: Any, tokenizer: Any) -> list[dict[str, Any]]:
    """Every conversation or text as `text` and `trained`, what is trained of it; packed ones taken apart."""
    if dataset is None:
        return []
    rows = (dataset[number] for number in range(len(dataset)))
    return [shown(ids, labels, tokenizer) for row in rows for ids, labels in pieces(row)]


def shown(ids: list[int], labels: list[int], tokenizer: Any) -> dict[str, Any]:
    """As text, which reads better in a table of differences; the ids themselves beside it."""
    kept = [label for label in labels if label != IGNORED]
    return {
        "ids": ids,
        "labels": labels,
        "text": tokenizer.decode(ids),
        "trained": tokenizer.decode(kept),
    }


def pieces(row: dict[str, Any]) -> Iterator[Piece]:
    """The parts of a packed row; one part of any other; padding left out. A pair of answers is two rows."""
    if "input_ids" in row:
        yield from _parts(row["input_ids"], row.get("labels") or row["input_ids"], row)
        return
    for answer in ("chosen", "rejected", "completion"):
        if f"{answer}_input_ids" in row:
            yield row[f"{answer}_input_ids"], row[f"{answer}_labels"]
        elif f"{answer}_ids" in row:
            before = row["prompt_ids"]
            yield [*before, *row[f"{answer}_ids"]], [IGNORED] * len(before) + list(row[f"{answer}_ids"])


def _parts(ids: list[int], labels: list[int], row: dict[str, Any]) -> Iterator[Piece]:
    start = 0
    for length, padding in _lengths(row, len(ids)):
        if not padding:
            yield ids[start : start + length], labels[start : start + length]
        start += length


def _lengths(row: dict[str, Any], whole: int) -> list[tuple[int, bool]]:
    """Lengths of the parts, and whether each is padding: a mask that counts documents, or a list of lengths."""
    if "seq_lengths" in row:
        return [(length, False) for length in row["seq_lengths"]]
    if "attention_mask" in row:
        return [(len(list(group)), number == 0) for number, group in groupby(row["attention_mask"])]
    return [(whole, False)]
