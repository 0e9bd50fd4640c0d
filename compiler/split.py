"""Training rows parted into two files by a hash of (seed, row number): the same rows in every target, on every machine.

Rows are read one by one, and counted over all sources of a split, each after its limit.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from compiler.dataset import expand
from compiler.errors import FtcError
from compiler.exit import USAGE
from schemas.artifact import Split
from schemas.plan import SourcePlan

Advance = Callable[[int], None]
"""Told the bytes of every row that is read, for a progress bar."""


def write_split(split: Split, folder: Path, advance: Advance) -> None:
    """Write both files, one JSON object a line. An unreadable row is an `FtcError` that names file and line."""
    held_out = _chooser(split, advance)
    counts = [0, 0]
    with _create(folder / split.train) as train, _create(folder / split.validation) as validation:
        for number, line in enumerate(_rows(split.sources, advance)):
            part = held_out(number)
            (validation if part else train).write(line + "\n")
            counts[part] += 1
    _refuse_empty(split, *counts)


def _refuse_empty(split: Split, train: int, validation: int) -> None:
    if not train or not validation:
        raise FtcError(
            f"data.validation = {split.share} parts {train + validation} rows into {train} to train on "
            f"and {validation} to validate with",
            "write a number of rows, or null for no validation",
        )


def score(seed: int, row: int) -> float:
    """Where a row falls in [0, 1): the first eight bytes of sha256 of "seed:row", big end first."""
    return int.from_bytes(sha256(f"{seed}:{row}".encode()).digest()[:8], "big") / 2**64


def total_bytes(splits: Iterable[Split]) -> int:
    """How much `write_split` will report to `advance`."""
    passes = [split for split in splits for _ in range(1 if isinstance(split.share, float) else 2)]
    return sum(path.stat().st_size for split in passes for source in split.sources for path in _files(source))


def _chooser(split: Split, advance: Advance) -> Callable[[int], bool]:
    share = split.share
    if isinstance(share, float):
        return lambda row: score(split.seed, row) < share
    count = sum(1 for _ in _rows(split.sources, advance))
    chosen = frozenset(heapq.nsmallest(share, range(count), key=lambda row: score(split.seed, row)))
    return chosen.__contains__


def _create(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8", newline="\n")


def _rows(sources: Iterable[SourcePlan], advance: Advance) -> Iterator[str]:
    for source in sources:
        yield from islice(_source_rows(source, advance), _limit(source))


def _limit(source: SourcePlan) -> int | None:
    """A share is one of all rows of the source, rounded down, so they are counted first."""
    if isinstance(source.limit, float):
        return int(source.limit * sum(1 for _ in _source_rows(source, _unseen)))
    return source.limit


def _unseen(_: int) -> None:
    """Reading that a progress bar does not count."""


def _source_rows(source: SourcePlan, advance: Advance) -> Iterator[str]:
    for path in _files(source):
        yield from _file_rows(path, advance)


def _files(source: SourcePlan) -> tuple[Path, ...]:
    """The files of a source: the one of that name, or those that match it as a glob, sorted."""
    found = expand(source.path, Path())
    if not found:
        raise FtcError(f'no file matches "{source.path}"', exit_code=USAGE)
    return found


def _file_rows(path: Path, advance: Advance) -> Iterator[str]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if packed else suffixes)[-1:]
    reader = READERS.get(kind[0] if kind else "")
    if reader is None:
        raise FtcError(
            f'rows of "{path}" cannot be parted here',
            f"write it as one of {', '.join(READERS)}, or give data.validation a source of its own",
        )
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") if packed else _open(path) as stream:
            yield from reader(path, _counted(stream, advance))
    except (OSError, EOFError, zlib.error) as error:
        raise FtcError(f'"{path}" cannot be read: {error}', exit_code=USAGE) from error
    except UnicodeDecodeError as error:
        raise FtcError(f'"{path}" is not UTF-8: {error.reason} at byte {error.start}', exit_code=USAGE) from error


def _open(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", newline="")


def _counted(stream: Iterable[str], advance: Advance) -> Iterator[str]:
    for line in stream:
        advance(len(line))
        yield line


def _json_lines(path: Path, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            _check_row(_parsed(path, line, number), path, number)
            yield line.strip()


def _json(path: Path, lines: Iterable[str]) -> Iterator[str]:
    """A list of objects, or in spite of the name one object a line."""
    text = "".join(lines)
    if not text.lstrip().startswith("["):
        yield from _json_lines(path, text.splitlines(keepends=True))
        return
    for number, item in enumerate(_parsed(path, text, 1), 1):
        _check_row(item, path, number)
        yield _dumped(item)


def _csv(path: Path, lines: Iterable[str]) -> Iterator[str]:
    """Every value stays the text that it is: a zip code keeps its zeros."""
    csv.field_size_limit(sys.maxsize)
    table = csv.reader(lines)
    try:
        header = next(table, list[str]())
        for row in table:
            if len(row) != len(header):
                raise FtcError(f"{path}:{table.line_num}: {len(row)} values for {len(header)} columns")
            yield _dumped(dict(zip(header, row, strict=True)))
    except csv.Error as error:
        raise FtcError(f"{path}:{table.line_num}: {error}") from error


def _text(path: Path, lines: Iterable[str]) -> Iterator[str]:
    del path
    for line in lines:
        yield _dumped({"text": line.rstrip("\r\n")})


READERS: dict[str, Callable[[Path, Iterable[str]], Iterator[str]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".txt": _text,
}


def _parsed(path: Path, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        at = line + error.lineno - 1 if isinstance(error, json.JSONDecodeError) else line
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise FtcError(f"{path}:{at}: not JSON: {reason}") from error


def _check_row(item: object, path: Path, number: int) -> None:
    if not isinstance(item, dict):
        raise FtcError(f"{path}: row {number} is no object of columns and values")


def _dumped(row: object) -> str:
    text = json.dumps(row, ensure_ascii=False)
    # Half of a surrogate pair is fine in JSON's escapes, but no UTF-8.
    return text if all(not "\ud800" <= char <= "\udfff" for char in text) else json.dumps(row)
