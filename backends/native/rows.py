# pyright: basic
# Strict typing stops at JSON, whose shape the checks below find out.
"""Rows of training data: read from files or the hub, and counted the same way everywhere.

Copied as it stands into every native artifact, so it imports nothing of the compiler. `read_rows` numbers rows the way
the compiler does when it parts training rows from validation rows: over all sources, each after its limit.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from glob import glob
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from backends.native.formats import DataError, FileError, Record, Row, convert, parsed

Advance = Callable[[int], None]
"""Told the characters of every line that is read, for a progress bar."""


def unseen(_: int) -> None:
    """Reading that nobody watches."""


def read_rows(sources: Sequence[Mapping[str, Any]], system: str | None, templated: bool) -> list[Row]:
    """All rows of all sources, in order, as `stream_rows` gives them."""
    return list(stream_rows(sources, system, templated))


def stream_rows(
    sources: Sequence[Mapping[str, Any]], system: str | None, templated: bool, advance: Advance = unseen
) -> Iterator[Row]:
    """The rows of all sources, in order. `templated`: whether prompts and completions are rendered as conversations.

    Raises `DataError` for a file that is missing or unreadable, and for a row that is not what its format says.
    """
    for source in sources:
        for place, record in _limited(source, advance):
            yield convert(record, place, source, system, templated)


def score(seed: int, row: int) -> float:
    """Where a row falls in [0, 1): the first eight bytes of sha256 of "seed:row", big end first."""
    return int.from_bytes(sha256(f"{seed}:{row}".encode()).digest()[:8], "big") / 2**64


def held_out(rows: int, share: float | int, seed: int) -> frozenset[int]:
    """The numbers of the rows kept for validation: a share of them (float), or so many (int)."""
    if isinstance(share, float):
        return frozenset(row for row in range(rows) if score(seed, row) < share)
    return frozenset(heapq.nsmallest(share, range(rows), key=lambda row: score(seed, row)))


def weighted(rows: Iterable[Row], seed: int) -> Iterator[Row]:
    """Each row as often as its weight says: 2.0 twice, 0.5 every second one, chosen by hash, 1.5 once or twice."""
    for number, row in enumerate(rows):
        whole = int(row.weight)
        extra = score(seed, number) < row.weight - whole
        for _ in range(whole + extra):
            yield row


# --- reading


def _limited(source: Mapping[str, Any], advance: Advance) -> Iterator[tuple[str, Record]]:
    """The first rows. A share is one of all rows of the source, rounded down, so they are counted first."""
    limit = source["limit"]
    if isinstance(limit, float):
        limit = int(limit * sum(1 for _ in _records(source, unseen)))
    return islice(_records(source, advance), limit)


def _records(source: Mapping[str, Any], advance: Advance) -> Iterator[tuple[str, Record]]:
    if not source["local"]:
        yield from _hub_records(source)
        return
    for path in local_files(source["path"]):
        yield from _file_records(path, advance)


def _hub_records(source: Mapping[str, Any]) -> Iterator[tuple[str, Record]]:
    from datasets import load_dataset  # two seconds, and only for data on the hub

    path, split = source["path"], source["split"]
    try:
        dataset = load_dataset(path, source["subset"], split=split, revision=source["revision"])
    except Exception as error:  # every kind of network, hub and format trouble ends here
        raise DataError(f'dataset "{path}" (split {split}) cannot be read: {error}') from error
    for number, record in enumerate(dataset):
        yield f"{path}, row {number}", dict(record)


def local_files(pattern: str) -> list[Path]:
    """The files that a path or glob names, in the order in which they are read."""
    path = Path(pattern)
    found = [path] if path.is_file() else [Path(name) for name in sorted(glob(pattern, recursive=True))]  # noqa: PTH207 (absolute patterns)
    if not found:
        raise FileError(f'no file matches "{pattern}"')
    return found


def _file_records(path: Path, advance: Advance) -> Iterator[tuple[str, Record]]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes[-1:] in ([".gz"], [".zst"]) else ""
    kind = suffixes[-1] if suffixes else ""
    if kind == ".parquet":
        yield from _parquet(path)
        return
    if kind not in READERS:
        raise DataError(f'"{path}" is none of {", ".join(READERS)}, .parquet')
    try:
        with _open(path, packed) as stream:
            yield from READERS[kind](path, _watched(stream, advance))
    except UnicodeDecodeError as error:
        raise FileError(f'"{path}" is not UTF-8: {error.reason} at byte {error.start}') from error
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f'"{path}" cannot be read: {error}') from error


def _open(path: Path, packed: str) -> TextIO:
    if packed == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    if packed == ".zst":
        import zstandard  # pyright: ignore[reportMissingImports] (installed only where a file is packed so)

        return io.TextIOWrapper(zstandard.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _watched(stream: Iterable[str], advance: Advance) -> Iterator[str]:
    for line in stream:
        advance(len(line))
        yield line


def _json_lines(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Record]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"{path}:{number}"
            yield place, _object(parsed(line, place), place)


def _json(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Record]]:
    """A list of objects, or in spite of the name one object a line."""
    text = "".join(lines)
    if not text.lstrip().startswith("["):
        yield from _json_lines(path, text.splitlines(keepends=True))
        return
    for number, item in enumerate(parsed(text, str(path)), 1):
        place = f"{path}, row {number}"
        yield place, _object(item, place)


def _csv(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Record]]:
    csv.field_size_limit(sys.maxsize)
    table = csv.reader(lines)
    header = next(table, [])
    for row in table:
        place = f"{path}:{table.line_num}"
        if len(row) != len(header):
            raise DataError(f"{place}: {len(row)} values for {len(header)} columns")
        yield place, dict(zip(header, row, strict=True))


def _text(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Record]]:
    for number, line in enumerate(lines, 1):
        yield f"{path}:{number}", {"text": line.rstrip("\r\n")}


def _parquet(path: Path) -> Iterator[tuple[str, Record]]:
    from pyarrow import ArrowException, parquet  # comes with datasets, and is rarely needed

    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            for record in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", record
    except (OSError, ArrowException) as error:
        raise FileError(f'"{path}" cannot be read: {error}') from error


READERS: dict[str, Callable[[Path, Iterable[str]], Iterator[tuple[str, Record]]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".txt": _text,
}


def _object(item: object, place: str) -> Record:
    if not isinstance(item, dict):
        raise DataError(f"{place}: this is no object of columns and values")
    return item
