# pyright: basic
# Strict typing stops at JSON, whose shape formats.py finds out.
"""The kinds of data files: each cut into blocks of raw rows, and a block read into records, each with its place.

Copied as it stands into every native artifact, so it imports nothing of the compiler. A file is cut by one process and
its blocks are read by several; a block is some hundred kilobytes, whatever the file's size.
"""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from backends.native.findings import DamagedError, Place, RowError

Record = dict[str, Any]
Read = tuple[Place, Record | RowError]
Records = Iterable[Read]

SIZE = 1 << 18
"""Bytes of lines in a block: so few that processes that share a small file are done at the same time."""
ROWS = 256
"""Rows of a block whose rows are not lines."""
LONGEST = 1 << 24
"""Bytes or characters of one row. A longer one is no training row, and would take gigabytes to be made tokens of."""
TOO_LONG = f"of over {LONGEST >> 20} MiB is no row"
DEEPEST = 64
"""Lists and objects inside one another: what has more is no training row, and templates and pickle would give up."""
DEEP = "it is nested too deeply"
BOM = b"\xef\xbb\xbf"
NO_UTF8 = re.compile("[\udc80-\udcff]")
"""Bytes that are no UTF-8, kept as `surrogateescape` decodes them until it is known which row they are in."""
DECODER = json.JSONDecoder()


class Stream(Protocol):
    """What a file is read from: its next bytes, none at the end."""

    def read(self, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Block:
    """`count` raw rows of a file, the first at line (or row) `number`. `kind`: how `records` reads `rows`. `marked`: it
    is the first of a file that begins with a byte order mark."""

    path: str
    kind: str
    number: int
    count: int
    rows: Any
    marked: bool = False


def parsed(text: str, place: Place | str, name: str = "") -> Any:
    """JSON, or a `RowError` that names the place, and the column where it is the text of one."""
    try:
        found = json.loads(text)
        if not _is_deep(text, found):
            return found
        reason = DEEP
    except (ValueError, RecursionError) as error:
        reason = _reason(error)
    column = f' in "{name}"' if name else ""
    raise RowError("FTC510", place, f"not JSON{column}: {reason}")


def _is_deep(text: str, found: Any) -> bool:
    """Whether there are too many levels. Most rows have fewer brackets than that."""
    return text.count("[") + text.count("{") > DEEPEST and not _within(found, DEEPEST)


def _within(found: Any, levels: int) -> bool:
    inside = found.values() if isinstance(found, dict) else found if isinstance(found, list) else None
    return inside is None or (levels > 0 and all(_within(item, levels - 1) for item in inside))


def _reason(error: Exception) -> str:
    said = DEEP if isinstance(error, RecursionError) else str(getattr(error, "msg", error)).partition("; use sys.")[0]
    column = getattr(error, "colno", None)
    return f"{said[:1].lower()}{said[1:]}" + (f" (column {column})" if column else "")


def _object(item: Any, place: Place) -> Record | RowError:
    what = 'a row must be a mapping of columns, as {"messages": […]}'
    return item if isinstance(item, dict) else RowError("FTC511", place, what)


def line_blocks(path: str, stream: Stream, kind: str) -> Iterator[Block]:
    """Whole lines; lines that are blank are no rows, but for plain text."""
    number = 1
    for data in stretches_of(stream):
        lines = lines_of(data)
        count = len(lines) if kind == ".txt" else sum(1 for line in lines if line and not line.isspace())
        yield Block(path, kind, number, count, data)
        number += len(lines)


def stretches_of(stream: Stream) -> Iterator[bytes]:
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
            raise OSError(f"a line {TOO_LONG}")
    if kept:
        yield kept


def lines_of(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def json_lines(block: Block) -> Records:
    """An object a line."""
    for number, line in enumerate(lines_of(block.rows), block.number):
        if line and not line.isspace():
            yield _read(line, Place(block.path, number), lambda text, place: _object(parsed(text, place), place))


def text_lines(block: Block) -> Records:
    """A text a line."""
    for number, line in enumerate(lines_of(block.rows), block.number):
        yield _read(line, Place(block.path, number), lambda text, _: {"text": text.rstrip("\r")})


def _read(line: bytes, place: Place, read: Callable[[str, Place], Record | RowError]) -> Read:
    try:
        return place, read(line.decode("utf-8"), place)
    except UnicodeDecodeError as error:
        return place, RowError("FTC512", place, f"no UTF-8: {error.reason} at byte {error.start + 1} of the line")
    except RowError as error:
        return place, error


class _Text:
    """Text that is read as it is needed and then forgotten. `at`: how far it is looked at; `line`: in which line."""

    def __init__(self, path: str, stream: Stream) -> None:
        self._path, self._stream = path, stream
        self._decode = getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self.text, self.at, self.line = "", 0, 1

    def more(self) -> bool:
        """Read on; False at the end. Doubles what is there, so that a long row is not looked at too often."""
        rest = self.text[self.at :]
        data = self._stream.read(max(0, min(max(SIZE, len(rest)), LONGEST - len(rest))))
        self.text, self.at = rest + self._decode(data, not data), 0
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

    def damaged(self, what: str) -> DamagedError:
        """The file cannot be read on from here."""
        return DamagedError(Place(self._path, self.line), f"is damaged: {what}")


def json_blocks(path: str, stream: Stream, kind: str) -> Iterator[Block]:
    """A list of objects, or in spite of the name one object after the other."""
    number, counted = 1, False
    for batch in batches(_items(path, _Text(path, stream))):
        # Where a list stands in one line, that says nothing of its rows.
        counted = counted or (len(batch) > 1 and len({line for line, _ in batch}) == 1)
        yield Block(path, kind, number, len(batch), (counted, batch))
        number += len(batch)


def batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    """So many at once. Where they cannot be read on, those before are not lost."""
    errors: list[Exception] = []

    def whole() -> Iterator[Any]:
        try:
            yield from rows
        except Exception as error:  # it is raised where it came up: after the rows before it
            errors.append(error)

    readable = whole()
    while batch := list(islice(readable, ROWS)):
        yield batch
    for error in errors:
        raise error


def _items(path: str, text: _Text) -> Iterator[tuple[int, Any]]:
    if text.next() != "[":
        while text.next():
            yield text.line, _item(path, text)
        return
    text.go(text.at + 1)
    char = text.next()
    while char != "]":
        yield text.line, _item(path, text)
        if (char := text.next()) == ",":
            text.go(text.at + 1)
            if (char := text.next()) == "]":
                raise text.damaged('a "," stands before the "]" that ends the list')
        elif char != "]":
            raise text.damaged('no "," or "]" after the row before')
    text.go(text.at + 1)
    if text.next():
        raise text.damaged("there is more after the list")


def _item(path: str, text: _Text) -> Any:
    """The next value; a `RowError` in the place of one that cannot be right."""
    place = Place(path, text.line)
    while True:
        try:
            item, end = DECODER.raw_decode(text.text, text.at)
        except (ValueError, RecursionError) as error:
            if text.more():
                continue
            if len(text.text) >= LONGEST:
                what = f"cannot be read: an object {TOO_LONG}, unless it is damaged: {_reason(error)}"
                raise DamagedError(place, what) from None
            raise text.damaged(f"no JSON from line {text.line} on: {_reason(error)}") from None
        raw = text.text[text.at : end]
        text.go(end)
        if not raw.isascii() and NO_UTF8.search(raw):
            return RowError("FTC512", place, "no UTF-8")
        return RowError("FTC510", place, DEEP) if _is_deep(raw, item) else item


def json_items(block: Block) -> Records:
    """Objects, each with the line in which it begins, or its number where several begin in one line."""
    counted, rows = block.rows
    for number, (line, item) in enumerate(rows, block.number):
        place = Place(block.path, number, True) if counted else Place(block.path, line)
        if isinstance(item, RowError):
            yield place, RowError(item.code, place, item.what)
        else:
            yield place, _object(item, place)
