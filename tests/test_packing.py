# ruff: noqa: S311 (chance that repeats)
"""Laws of packing: of the bins that rows are laid into, and of the file that is written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from backends.native import shards
from backends.native.corpus import Part
from backends.native.data import IGNORED
from backends.native.packing import best_fit
from backends.native.shards import Writer

CAPACITY = 32
FILLER = 1 << 20
LENGTHS = st.lists(st.integers(1, CAPACITY), max_size=60)
Document = tuple[list[int], list[int]]


def sizes(bins: list[list[int]], lengths: list[int]) -> list[int]:
    return [sum(lengths[row] for row in rows) for rows in bins]


@given(LENGTHS)
def test_every_row_is_in_one_bin_that_holds_it(lengths: list[int]) -> None:
    bins = best_fit(lengths, CAPACITY)
    assert sorted(row for rows in bins for row in rows) == list(range(len(lengths)))
    assert all(0 < size <= CAPACITY for size in sizes(bins, lengths))
    assert bins == sorted(sorted(rows) for rows in bins)


@given(LENGTHS)
def test_no_two_bins_would_fit_into_one(lengths: list[int]) -> None:
    assert all(a + b > CAPACITY for a, b in combinations(sizes(best_fit(lengths, CAPACITY), lengths), 2))


def first_fit(lengths: list[int]) -> int:
    """How many bins first fit decreasing needs."""
    left: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = next((number for number, space in enumerate(left) if space >= length), None)
        if fitting is None:
            left.append(CAPACITY - length)
        else:
            left[fitting] -= length
    return len(left)


@given(LENGTHS)
def test_bins_are_as_few_as_first_fit_needs(lengths: list[int]) -> None:
    """Johnson (1974): at most 11/9 of the fewest possible and four more, and where no row is shorter than a sixth of a
    bin never more than first fit."""
    bins = len(best_fit(lengths, CAPACITY))
    assert bins >= -(-sum(lengths) // CAPACITY)
    assert bins <= first_fit(lengths) * 11 / 9 + 4
    long = [length for length in lengths if length * 6 >= CAPACITY]
    assert len(best_fit(long, CAPACITY)) <= first_fit(long)


def test_long_tailed_lengths_leave_less_than_a_hundredth_empty() -> None:
    chance, limit = random.Random(0), 2048
    for middle in (4.0, 5.0, 6.0):
        drawn = (int(chance.lognormvariate(middle, 1.0)) + 1 for _ in count())
        lengths = [length for length, _ in zip((each for each in drawn if each <= limit), range(20_000), strict=False)]
        documents = [([7] * length, [7] * length) for length in lengths]
        rows = list(packed(split(documents, 500), limit, None))
        assert sum(len(row["input_ids"]) for row in rows) == sum(lengths)
        assert sum(lengths) / (len(rows) * limit) >= 0.99


# --- the file


def part(documents: list[Document], weight: float = 1.0) -> Part:
    ids, labels = (np.array([token for each in documents for token in each[side]], np.int32) for side in (0, 1))
    lengths, owners = np.array([len(ids) for ids, _ in documents], np.int32), np.arange(len(documents))
    return Part(rows=len(documents), weight=weight, ids=ids, labels=labels, lengths=lengths, owners=owners)


def split(documents: list[Document], size: int) -> list[Part]:
    return [part(documents[at : at + size]) for at in range(0, len(documents), size)]


def packed(parts: list[Part], capacity: int | None, filler: int | None) -> list[dict[str, Any]]:
    """What is in the file that the parts were written to."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "rows.arrow")
        with Writer(path, capacity, filler, seed=0) as writer:
            for each in parts:
                writer.add(each)
        rows = Dataset.from_file(str(path), in_memory=True).to_list()
        assert len(rows) == writer.rows
        return rows


def documents_of(row: dict[str, Any]) -> Iterator[Document]:
    at = 0
    for length in row["seq_lengths"]:
        yield row["input_ids"][at : at + length], row["labels"][at : at + length]
        at += length
    assert at == len(row["input_ids"]) == len(row["labels"])


@st.composite
def some_documents(draw: st.DrawFn) -> list[Document]:
    """Documents of tokens that occur nowhere else, some of them trained."""
    tokens = count()
    lengths = draw(LENGTHS)
    chance = draw(st.randoms(use_true_random=False))
    ids = [[next(tokens) for _ in range(length)] for length in lengths]
    return [(each, [token if chance.random() < 0.5 else IGNORED for token in each]) for each in ids]


@given(some_documents(), st.integers(1, 9), st.integers(1, 400), st.booleans())
def test_documents_stay_whole_and_keep_their_labels(
    documents: list[Document], size: int, window: int, filled: bool
) -> None:
    with patch.object(shards, "WINDOW", window):
        rows = packed(split(documents, size), CAPACITY, FILLER if filled else None)
        assert rows == packed(split(documents, 1000), CAPACITY, FILLER if filled else None)
    found = [document for row in rows for document in documents_of(row)]
    assert sorted(each for each in found if each[0][0] != FILLER) == documents
    assert all(len(row["input_ids"]) <= CAPACITY for row in rows)


@given(some_documents())
def test_filler_fills_each_row_with_one_last_document_that_is_not_trained(documents: list[Document]) -> None:
    bare = packed(split(documents, 7), CAPACITY, None)
    full = packed(split(documents, 7), CAPACITY, FILLER)
    assert len(bare) == len(full)
    for short, long in zip(bare, full, strict=True):
        missing = CAPACITY - len(short["input_ids"])
        assert long["input_ids"] == short["input_ids"] + [FILLER] * missing
        assert long["labels"] == short["labels"] + [IGNORED] * missing
        assert long["seq_lengths"] == short["seq_lengths"] + [missing] * (missing > 0)


@given(some_documents(), st.integers(1, 9))
def test_rows_that_are_not_packed_stay_in_order(documents: list[Document], size: int) -> None:
    rows = packed(split(documents, size), None, None)
    assert [(row["input_ids"], row["labels"]) for row in rows] == documents


@given(some_documents(), st.sampled_from([0.5, 2.0, 2.5]))
def test_weighted_documents_are_repeated_whole(documents: list[Document], weight: float) -> None:
    rows = packed([part(documents, weight)], CAPACITY, None)
    found = [document for row in rows for document in documents_of(row)]
    assert all(int(weight) <= found.count(each) <= int(weight) + (weight % 1 > 0) for each in documents)
    assert all(each in documents for each in found)
