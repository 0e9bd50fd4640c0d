# pyright: basic
# Strict typing stops at the csv module's reader and Arrow's tables, which are untyped.
"""Columns and what stands in them: files of comma-separated values, Arrow's tables, and the values of a record.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from math import isnan
from typing import Any

from backends.native.findings import DamagedError, Place, RowError
from backends.native.readers import (
    LONGEST,
    NO_UTF8,
    Block,
    Record,
    Records,
    Stream,
    batches,
    lines_of,
    parsed,
    stretches_of,
)

Where = Place | str
UNCLOSED = ("unexpected end of data", "field larger than field limit")
"""What Python's reader says of it."""
RETURNS = "new-line character"
"""What it says of a carriage return that ends no value in quotes, and no line."""


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
            yield line, f"no CSV: {_problem(str(error))}"
            continue
        if values is None:
            return
        if values:
            yield line, values


def _problem(said: str) -> str:
    if said.startswith(RETURNS):
        return r"a line ends in a single carriage return (\r); write \n there: tr '\r' '\n' < OLD > NEW"
    return said


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


def table_rows(table: Any) -> list[Record]:
    """The rows of an Arrow table, each with the keys that it was written with.

    In a table all values of a column have the same keys: where one call has {"city": "P"} and another one {"day": 1},
    Arrow makes {"city": "P", "day": null} of the first, and a template would write that null for the model to learn. So
    keys without a value are taken out again, but for the row's own columns: there, null is the owner's mistake.
    """
    rows: list[Record] = table.to_pylist()
    # Only structs have keys. Most tables have none, and cost nothing.
    for name in [field.name for field in table.schema if "struct<" in str(field.type)]:
        for row in rows:
            row[name] = _as_written(row[name])
    return rows


def _as_written(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_written(item) for key, item in value.items() if item is not None}
    return [_as_written(item) for item in value] if isinstance(value, list) else value


def cell(record: Record, name: str, place: Where) -> Any:
    """What stands in a column; `RowError` where there is none."""
    if name not in record:
        there = ", ".join(map(str, record)) or "nothing"
        raise RowError("FTC513", place, f'no column "{name}"; there is {there}')
    return record[name]


def string(record: Record, name: str, place: Where) -> str:
    """The text of a column."""
    value = cell(record, name, place)
    if not isinstance(value, str):
        raise RowError("FTC514", place, f'"{name}" is no text: {kind_of(value)}')
    return sound(value, place)


def optional(record: Record, name: str, place: Where) -> str | None:
    """A text that need not be there."""
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise RowError("FTC514", place, f'"{name}" is no text: {kind_of(value)}')
    return sound(value, place) if value else None


def definitions(record: Record, fields: Record, place: Where) -> tuple[Record, ...]:
    """The row's tools, which need not be there."""
    name = fields["tools"] or "tools"
    tools = record.get(name) or ()
    tools = parsed(tools, place, name) if isinstance(tools, str) else tools
    if not isinstance(tools, list | tuple) or not all(isinstance(tool, dict) for tool in tools):
        raise RowError("FTC519", place, f'"{name}" is no list of tool definitions')
    return tuple(all_sound(tool, place) for tool in tools)


def check_calls(calls: Any, place: Where) -> None:
    """Calls of functions, each with a name: as chat templates read them."""
    for call in calls if isinstance(calls, list) else [None]:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RowError("FTC519", place, '"tool_calls" is no list of {"function": {"name": …, "arguments": …}}')


def sound(text: str, place: Where) -> str:
    """A text that can be written as UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RowError("FTC512", place, "a text holds half of a surrogate pair, as of a broken emoji") from None
    return text


def all_sound(value: Any, place: Where) -> Any:
    """The value, in which every text can be written as UTF-8."""
    if isinstance(value, str):
        return sound(value, place)
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        all_sound(key, place)
        all_sound(item, place)
    return value


def kind_of(value: Any) -> str:
    """What a value is, in JSON's words."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    if isinstance(value, float) and isnan(value):
        return "NaN, which is no JSON"
    words = {int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return words.get(type(value), type(value).__name__)


def no_turns(said: Any) -> str | None:
    """What stands there instead of a list of turns; None where it is one."""
    if not isinstance(said, list):
        return kind_of(said)
    return next((f"a list with {kind_of(item)} in it" for item in said if not isinstance(item, dict)), None)
