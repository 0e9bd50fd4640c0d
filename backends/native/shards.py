# pyright: basic
# Strict typing stops at numpy and pyarrow, whose types are loose.
"""Rows of tokens into an Arrow file, packed on the way where they are to be packed.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from backends.native.corpus import Part, repeated
from backends.native.data import IGNORED
from backends.native.packing import best_fit

WINDOW = 1 << 21
"""Tokens that are packed among themselves: so many that the few rows left half empty at the end do not count. Where a
window ends depends on the rows alone, not on the blocks in which they came."""
LIST = pa.list_(pa.int32())
PAIRS, JUDGED = "preference", "kto"
"""Formats of sources whose rows have answers that are compared, or judged."""
OF_PAIRS = ("chosen_ids", "chosen_labels", "rejected_ids", "rejected_labels")


class Summed(io.BufferedWriter):
    """A new file, and the CRC-32 of all that was written into it."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self.crc32 = 0

    def write(self, data: Any) -> int:
        self.crc32 = zlib.crc32(data, self.crc32)
        return super().write(data)


class Writer:
    """An Arrow file of rows: `input_ids` and `labels`, and in packed ones `seq_lengths`, the documents' lengths.

    Those of `kind` "kto" have `label`, whether the answer is good. Those of "preference" are two pieces that follow one
    another: `chosen_ids`, `chosen_labels`, `rejected_ids`, `rejected_labels`.

    `capacity`: tokens of a packed row; None: rows stay as they are. `filler`: the token that fills packed rows up, as a
    last document of which nothing is trained; None: they stay shorter. `rows`: how many were written.
    """

    def __init__(self, path: Path, capacity: int | None, filler: int | None, seed: int, kind: str = "") -> None:
        self._capacity, self._filler, self._seed, self._pairs = capacity, filler, seed, kind == PAIRS
        names = (
            ("input_ids", "labels", "seq_lengths") if capacity else OF_PAIRS if self._pairs else ("input_ids", "labels")
        )
        judged = [("label", pa.bool_())] if kind == JUDGED else []
        self._schema = pa.schema([*((name, LIST) for name in names), *judged])
        self._file = Summed(path)
        self._stream = pa.ipc.new_stream(self._file, self._schema)
        self._waiting: list[tuple[Any, ...]] = []
        self._tokens = self._first = self.rows = 0

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush(last=True)
            self._stream.close()
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()

    @property
    def crc32(self) -> int:
        """Of the whole file, once it is closed."""
        return self._file.crc32

    def add(self, part: Part) -> None:
        """Write a part's pieces, each as often as its weight says."""
        times = repeated(part, self._first, self._seed)
        self._first += part.rows
        ids, labels, lengths, good = part.ids, part.labels, part.lengths, part.good
        if (times != 1).any():
            chosen = _chosen(times, 2 if self._pairs else 1)
            ids, labels, lengths = *_gathered((ids, labels), lengths, chosen), lengths[chosen]
            good = good if good is None else good[chosen]
        self._waiting.append((ids, labels, lengths, np.zeros(0, np.bool_) if good is None else good))
        self._tokens += len(ids)
        if self._tokens >= WINDOW or not self._capacity:
            self._flush()

    def _flush(self, *, last: bool = False) -> None:
        """Write what waits; of rows that are packed only whole windows, but for the last."""
        if not self._waiting:
            return
        ids, labels, lengths, good = (np.concatenate(arrays) for arrays in zip(*self._waiting, strict=True))
        self._waiting, self._tokens = [], 0
        if not self._capacity:
            rows = _pairs(ids, labels, lengths) if self._pairs else [_lists(ids, lengths), _lists(labels, lengths)]
            self._write([*rows, pa.array(good)] if "label" in self._schema.names else rows)
            return
        row = token = 0
        for rows, tokens in _windows(lengths, last=last):
            self._write_packed(ids[token:tokens], labels[token:tokens], lengths[row:rows], self._capacity)
            row, token = rows, tokens
        if row < len(lengths):
            self._waiting.append((ids[token:].copy(), labels[token:].copy(), lengths[row:].copy(), good))
            self._tokens = len(ids) - token

    def _write_packed(self, ids: Any, labels: Any, lengths: Any, capacity: int) -> None:
        bins = best_fit(lengths, capacity)
        order = np.array([row for rows in bins for row in rows], np.int64)
        documents = np.array([len(rows) for rows in bins], np.int64)
        ids, labels, lengths = *_gathered((ids, labels), lengths, order), lengths[order]
        if self._filler is not None:
            ids, labels, lengths, documents = _filled((ids, labels), lengths, documents, (capacity, self._filler))
        sizes = np.add.reduceat(lengths, np.cumsum(documents) - documents) if len(documents) else documents
        self._write([_lists(ids, sizes), _lists(labels, sizes), _lists(lengths, documents)])

    def _write(self, columns: list[Any]) -> None:
        batch = pa.record_batch(columns, schema=self._schema)
        self._stream.write_batch(batch)
        self.rows += len(batch)


def _windows(lengths: Any, *, last: bool) -> Iterator[tuple[int, int]]:
    """How many rows and tokens there are up to the end of each window: the first row that fills it is its last."""
    ends = np.cumsum(lengths, dtype=np.int64)
    rows = tokens = 0
    while (rows := int(np.searchsorted(ends, tokens + WINDOW)) + 1) <= len(ends):
        tokens = int(ends[rows - 1])
        yield rows, tokens
    if last and len(ends) and tokens < ends[-1]:
        yield len(ends), int(ends[-1])


def _chosen(times: Any, together: int) -> Any:
    """Which pieces are written, each so often. So many that follow one another are one row, and stay together."""
    rows = np.repeat(np.arange(len(times) // together), times[::together])
    return (rows[:, None] * together + np.arange(together)).ravel()


def _pairs(ids: Any, labels: Any, lengths: Any) -> list[Any]:
    """Every second piece, and those after them."""
    columns: list[Any] = []
    for first in (0, 1):
        order = np.arange(first, len(lengths), 2)
        columns += [_lists(values, lengths[order]) for values in _gathered((ids, labels), lengths, order)]
    return columns


def _lists(values: Any, lengths: Any) -> Any:
    """Values as lists of these lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(offsets, pa.array(values.astype(np.int32, copy=False)))


def _gathered(arrays: tuple[Any, ...], lengths: Any, order: Any) -> list[Any]:
    """The rows that lie end to end in the arrays, in another order."""
    starts = np.cumsum(lengths) - lengths
    taken = lengths[order]
    ends = np.cumsum(taken)
    # Where each token comes from: its row's start, and how far into the row it is.
    sources = np.arange(ends[-1] if len(ends) else 0, dtype=np.int32)
    sources += np.repeat((starts[order] - (ends - taken)).astype(np.int32), taken)
    return [array[sources] for array in arrays]


def _filled(tokens: tuple[Any, Any], lengths: Any, documents: Any, filling: tuple[int, int]) -> tuple[Any, ...]:
    """Bins filled up to a capacity, by a last document of one token's repetition."""
    capacity, filler = filling
    ends = np.cumsum(documents)
    sizes = np.add.reduceat(lengths, ends - documents)
    missing = capacity - sizes
    at = np.repeat(np.cumsum(sizes), missing)
    open_bins = missing > 0
    return (
        np.insert(tokens[0], at, filler),
        np.insert(tokens[1], at, IGNORED),
        np.insert(lengths, ends[open_bins], missing[open_bins]),
        documents + open_bins,
    )
