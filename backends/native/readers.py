# pyright: basic
# Strict typing stops at JSON, whose shape formats.py finds out.
"""The kinds of data files: each cut into blocks of raw rows, and a block read into records, each with its place.

Copied as it stands into every native artifact, so it imports nothing of the compiler. A file is cut by one process and
its blocks are read by several; a block is a few megabytes, whatever the file's size.
"""

from __future__ import annotations

import csv
import json
import sys
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from backends.native.findings import FileError, Place, RowError

Record = dict[str, Any]
Records = Iterable[tuple[Place, Record | RowError]]

SIZE = 1 << 20
"""Bytes of lines in a block."""
ROWS = 1024
"""Rows of a block whose rows are not lines."""
LONGEST = 1 << 26
"""Bytes or characters of one row."""
BOM = b"\xef\xbb\xbf"


class Stream(Protocol):
    """What a file is read from."""

    def read(self, size: int) -> bytes:
        """The next bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """`count` raw rows of a file, the first at line (or row) `number`. `kind`: how `records` reads `rows`."""

    path: str
    kind: str
    number: int
    count: int
    rows: Any


def parsed(text: str, place: Place | str) -> Any:
    """JSON, or a `RowError` that names the place."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError("FTC510", place, f"not JSON: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    said = getattr(error, "msg", "") or "it is nested too deeply"
    column = getattr(error, "colno", None)
    return f"{said[:1].lower()}{said[1:]}" + (f" (column {column})" if column else "")


def _object(item: Any, place: Place) -> Record | RowError:
    if isinstance(item, dict):
        return item
    return RowError("FTC511", place, 'a row must be a mapping of columns, as {"messages": […]}')


# --- a row a line


def line_blocks(path: str, stream: Stream, kind: str) -> Iterator[Block]:
    """Whole lines; lines that are blank are no rows, but for plain text."""
    number = 1
    for data in _stretches(stream):
        lines = _split(data)
        count = len(lines) if kind == ".txt" else sum(1 for line in lines if line and not line.isspace())
        yield Block(path, kind, number, count, data)
        number += len(lines)


def _stretches(stream: Stream) -> Iterator[bytes]:
    """Stretches of whole lines, without the mark that some editors put first."""
    kept = stream.read(SIZE).removeprefix(BOM)
    while data := stream.read(SIZE):
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            yield kept + whole + newline
            kept = rest
        else:
            kept += data
        if len(kept) > LONGEST:
            raise FileError(f"a line of over {LONGEST >> 20} MiB is no row")
    if kept:
        yield kept


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def json_lines(block: Block) -> Records:
    """An object a line."""
    for number, line in enumerate(_split(block.rows), block.number):
        if line and not line.isspace():
            place = Place(block.path, number)
            try:
                yield place, _object(parsed(_decoded(line, place), place), place)
            except RowError as error:
                yield place, error


def text_lines(block: Block) -> Records:
    """A text a line."""
    for number, line in enumerate(_split(block.rows), block.number):
        place = Place(block.path, number)
        try:
            yield place, {"text": _decoded(line, place).rstrip("\r")}
        except RowError as error:
            yield place, error


def _decoded(line: bytes, place: Place) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError("FTC512", place, f"no UTF-8: {error.reason} at byte {error.start + 1} of the line") from None


# --- a list of objects


class _Text:
    """Text that is read as it is needed and then forgotten. `at`: how far it is looked at; `line`: in which line."""

    def __init__(self, path: str, stream: Stream) -> None:
        self._path, self._stream = path, stream
        self._decode = getincrementaldecoder("utf-8-sig")().decode
        self.text, self.at, self.line = "", 0, 1

    def more(self) -> bool:
        """Read on; False at the end. Doubles what is there, so that a long row is not looked at too often."""
        rest = self.text[self.at :]
        data = self._stream.read(max(SIZE, len(rest)) if len(rest) < LONGEST else 0)
        try:
            self.text, self.at = rest + self._decode(data, not data), 0
        except UnicodeDecodeError as error:
            raise FileError(f'"{self._path}" is not UTF-8: {error.reason} after line {self.line}') from None
        return bool(data)

    def go(self, at: int) -> None:
        """Look further on."""
        self.line += self.text.count("\n", self.at, at)
        self.at = at

    def next(self) -> str:
        """The next character that is no white space; nothing at the end."""
        while True:
            at = self.at
            while (char := self.text[at : at + 1]) and char.isspace():
                at += 1
            self.go(at)
            if char or not self.more():
                return char


def json_blocks(path: str, stream: Stream, kind: str) -> Iterator[Block]:
    """A list of objects, or in spite of the name one object after the other."""
    rows = _items(path, _Text(path, stream))
    while batch := list(islice(rows, ROWS)):
        yield Block(path, kind, batch[0][0], len(batch), batch)


def _items(path: str, text: _Text) -> Iterator[tuple[int, Any]]:
    listed = text.next() == "["
    if listed:
        text.go(text.at + 1)
    while (char := text.next()) and not (listed and char == "]"):
        yield text.line, _item(path, text)
        if listed and (char := text.next()) == ",":
            text.go(text.at + 1)
        elif listed and char != "]":
            raise FileError(f'"{path}" is damaged: no "," or "]" after the row that ends in line {text.line}')


def _item(path: str, text: _Text) -> Any:
    decoder = json.JSONDecoder()
    while True:
        try:
            item, end = decoder.raw_decode(text.text, text.at)
        except (ValueError, RecursionError) as error:
            if text.more():
                continue
            raise FileError(f'"{path}" is damaged: no JSON from line {text.line} on: {_reason(error)}') from None
        text.go(end)
        return item


def json_items(block: Block) -> Records:
    """Objects, each with the line in which it begins."""
    for line, item in block.rows:
        place = Place(block.path, line)
        yield place, _object(item, place)


# --- tables


def csv_blocks(path: str, stream: Stream, kind: str) -> Iterator[Block]:
    """Rows of values under a header."""
    csv.field_size_limit(sys.maxsize)
    # What is no UTF-8 is kept as it stands until its row is known.
    lines = (f"{line.decode('utf-8', 'surrogateescape')}\n" for data in _stretches(stream) for line in _split(data))
    table = csv.reader(lines, strict=True)
    header = next(_values(table), (1, []))[1]
    rows = _values(table)
    while batch := list(islice(rows, ROWS)):
        yield Block(path, kind, batch[0][0], len(batch), (header, batch))


def _values(table: Any) -> Iterator[tuple[int, list[str] | str]]:
    """Each row's values with the line in which it begins; what is wrong, where it is no CSV."""
    while True:
        line = table.line_num + 1
        try:
            values = next(table, None)
        except csv.Error as error:
            yield line, str(error)
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


def _table_row(header: Any, values: list[str] | str, place: Place) -> Record | RowError:
    if isinstance(header, str) or isinstance(values, str):
        return RowError("FTC518", place, f"no CSV: {values if isinstance(values, str) else header}")
    if len(values) != len(header):
        return RowError("FTC518", place, f"{len(values)} values for {len(header)} columns")
    if any("\udc80" <= char <= "\udcff" for value in values if not value.isascii() for char in value):
        return RowError("FTC512", place, "no UTF-8")
    return dict(zip(header, values, strict=True))


# --- records as they are


def numbered(block: Block) -> Records:
    """Rows that have no lines, counted."""
    rows = block.rows if isinstance(block.rows, list) else block.rows.to_pylist()
    for number, record in enumerate(rows, block.number):
        yield Place(block.path, number, True), record


def table_blocks(path: str, batches: Iterable[Any], kind: str) -> Iterator[Block]:
    """Batches of rows, each either a list or pyarrow's."""
    number = 1
    for batch in batches:
        yield Block(path, kind, number, len(batch), batch)
        number += len(batch)
