# pyright: basic
# Strict typing stops at the csv module's reader, whose state is untyped.
"""Tables of values under a header: files of comma-separated values.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from backends.native.findings import DamagedError, Place, RowError
from backends.native.readers import LONGEST, NO_UTF8, Block, Record, Records, Stream, batches, lines_of, stretches_of

UNCLOSED = ("unexpected end of data", "field larger than field limit")
"""What Python's reader says of it."""


def csv_blocks(path: str, stream: Stream, kind: str) -> Iterator[Block]:
    """Rows of values under a header; where that cannot be understood, no row can."""
    # A quotation mark that is never closed makes one value of the rest of the file.
    csv.field_size_limit(LONGEST)
    lines = (f"{line.decode('utf-8', 'surrogateescape')}\n" for data in stretches_of(stream) for line in lines_of(data))
    table = csv.reader(lines, strict=True)
    number, header = next(_values(path, table), (1, []))
    if problem := _header_problem(header):
        yield Block(path, kind, number, 1, ([], [(number, problem)]))
        return
    for batch in batches(_values(path, table)):
        yield Block(path, kind, batch[0][0], len(batch), (header, batch))


def _header_problem(header: list[str] | str) -> str | None:
    if isinstance(header, str):
        return header
    twice = next((name for at, name in enumerate(header) if name and name in header[:at]), None)
    return f'the header names "{twice}" twice' if twice else None


def _values(path: str, table: Any) -> Iterator[tuple[int, list[str] | str]]:
    """Each row's values with the line in which it begins; what is wrong, where it is no CSV.

    `DamagedError` for a quotation mark that is not closed: nobody knows which of the lines after it are rows.
    """
    while True:
        line = table.line_num + 1
        try:
            values = next(table, None)
        except csv.Error as error:
            if any(sign in str(error) for sign in UNCLOSED):
                raise DamagedError(Place(path, line), "has a quotation mark here that is never closed") from None
            yield line, f"no CSV: {error}"
            continue
        if values is None:
            return
        if values:
            yield line, values


def csv_rows(block: Block) -> Records:
    """Values by the names of their columns."""
    header, rows = block.rows
    for line, values in rows:
        place = Place(block.path, line)
        yield place, _table_row(header, values, place)


def _table_row(header: list[str], values: list[str] | str, place: Place) -> Record | RowError:
    if isinstance(values, str):
        return RowError("FTC518", place, values)
    if len(values) != len(header):
        return RowError("FTC518", place, f"{len(values)} values for {len(header)} columns")
    if any(NO_UTF8.search(value) for value in values if not value.isascii()):
        return RowError("FTC512", place, "no UTF-8")
    return dict(zip(header, values, strict=True))
