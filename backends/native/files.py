# pyright: basic
# Strict typing stops at gzip and zstandard, whose streams are alike in all but name.
"""Data files by their endings: which there are, how each is opened, and its rows as blocks and as records.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from glob import escape, glob
from itertools import islice
from pathlib import Path
from typing import Any

from backends.native.findings import AbsentError, DamagedError, FileError, Place, RowError
from backends.native.readers import (
    BOM,
    ROWS,
    SIZE,
    Block,
    Record,
    Records,
    json_blocks,
    json_items,
    json_lines,
    line_blocks,
    text_lines,
)
from backends.native.tables import csv_blocks, csv_rows, table_rows

Advance = Callable[[int], None]
"""Told how many bytes of a file were read, for a progress bar."""

READERS = {
    ".jsonl": (line_blocks, json_lines),
    ".json": (json_blocks, json_items),
    ".csv": (csv_blocks, csv_rows),
    ".txt": (line_blocks, text_lines),
}
"""Ending → how the file is cut into blocks, and how a block is read."""
PARQUET = ".parquet"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
"""How such files begin."""
HUB = "hub"


def unseen(_: int) -> None:
    """Reading that nobody watches."""


def local_files(pattern: str) -> list[Path]:
    """The files that a path or glob names, in the order in which they are read; `FileError` where there is none.

    Links, and a pattern with `**` twice, give one file several names: it is read once, by the shortest of them.
    """
    path = Path(pattern)
    if path.is_file():
        return [path]
    base, rest = literal(path)
    found = glob(str(Path(escape(str(base)), *rest)), recursive=True)  # noqa: PTH207 (absolute patterns)
    files: dict[str, Path] = {}
    for name in sorted(found, key=lambda name: (name.count(os.sep), name)):
        if Path(name).is_file():
            files.setdefault(os.path.realpath(name), Path(name))
    if not files:
        raise FileError(f'no file matches "{pattern}"')
    return sorted(files.values(), key=str)


def literal(path: Path) -> tuple[Path, list[str]]:
    """The folder in which a pattern begins, and its parts from there on: brackets of a folder that is there are part of
    its name."""
    base, rest = Path(path.anchor), list(path.parts[bool(path.anchor) :])
    while rest and (base / rest[0]).is_dir():
        base /= rest.pop(0)
    return base, rest


def stamp(file: Path) -> tuple[int, int, int]:
    """What does not stay as it is where a file's content changes."""
    told = file.stat()
    return told.st_size, told.st_mtime_ns, told.st_ino


def digest(file: Path) -> str:
    """A hash of a file's content. One that has not changed is not read twice."""
    return _digest(file, stamp(file))


@cache
def _digest(file: Path, _: tuple[int, int, int]) -> str:
    content = hashlib.sha256()
    with file.open("rb") as stream:
        while data := stream.read(SIZE):
            content.update(data)
    return content.hexdigest()


def blocks(path: Path, advance: Advance = unseen) -> Iterator[Block]:
    """The rows of a file as they stand there. `FileError` where it cannot be read to its end."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes[-1:] in ([".gz"], [".zst"]) else ""
    kind = suffixes[-1] if suffixes else ""
    if kind == PARQUET and not packed:
        yield from _table_blocks(str(path), _parquet_batches(path), kind)
        return
    if kind not in READERS:
        raise DamagedError(Place(str(path), 1), f"is none of {', '.join(READERS)}, {PARQUET}")
    watched = None
    try:
        with path.open("rb") as file, _unpacked(file, packed) as stream:
            watched = _Watched(str(path), stream, file, advance)
            for number, block in enumerate(READERS[kind][0](str(path), watched, kind)):
                yield replace(block, marked=True) if watched.marked and not number else block
    except (OSError, EOFError, zlib.error, *_zstd_errors(packed)) as error:
        what = f"cannot be read: {getattr(error, 'strerror', None) or error or 'it is damaged'}"
        raise DamagedError(Place(str(path), watched.line if watched else 1), what) from error


def records(block: Block) -> Records:
    """The rows of a block; in place of one that is no mapping of columns, what is wrong with it."""
    read = numbered if block.kind in (PARQUET, HUB) else READERS[block.kind][1]
    return islice(read(block), block.count)


def _unpacked(file: Any, packed: str) -> Any:
    if packed == ".gz":
        import gzip

        return gzip.open(file, "rb")
    if packed == ".zst":
        import zstandard  # pyright: ignore[reportMissingImports] (installed only where a file is packed so)

        return zstandard.open(file, "rb")
    return file


def _zstd_errors(packed: str) -> tuple[type[Exception], ...]:
    if packed != ".zst":
        return ()
    from zstandard import ZstdError  # pyright: ignore[reportMissingImports] (as above)

    return (ZstdError,)


class _Watched:
    """A stream that tells how far into its file it is. `line`: the one that is read next; `marked`: whether it begins
    with a byte order mark."""

    def __init__(self, path: str, stream: Any, file: Any, advance: Advance) -> None:
        self._path, self._stream, self._file, self._advance, self._at = path, stream, file, advance, 0
        self.line, self.marked = 1, False

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(size)
        if not self._at and data[:2] in UTF16:
            raise DamagedError(Place(self._path, 1), "is UTF-16; make it UTF-8: iconv -f UTF-16 -t UTF-8")
        if not self._at:
            self.marked = data.startswith(BOM)
        self.line += data.count(b"\n")
        at = self._file.tell()
        self._advance(at - self._at)
        self._at = at
        return data


def _parquet_batches(path: Path) -> Iterator[Any]:
    from pyarrow import ArrowException, parquet  # comes with datasets, and is rarely needed

    read = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches(batch_size=ROWS):
            yield batch
            read += len(batch)
    except (OSError, ArrowException) as error:
        raise DamagedError(Place(str(path), read + 1, True), f"cannot be read: {error}") from error


def hub_blocks(source: Any) -> Iterator[Block]:
    """The rows of a dataset of the hub; `FileError` where it cannot be had."""
    from datasets import load_dataset  # two seconds, and only for data on the hub

    path, split = source["path"], source["split"]
    try:
        dataset = load_dataset(path, source["subset"], split=split, revision=source["revision"])
    except Exception as error:  # every kind of network, hub and format trouble ends here
        raise AbsentError(path, f"(split {split}) cannot be read: {error}") from error
    yield from _table_blocks(path, dataset.with_format("arrow").iter(batch_size=ROWS), HUB)


def numbered(block: Block) -> Records:
    """Rows that have no lines, counted."""
    for number, record in enumerate(_listed(block), block.number):
        yield Place(block.path, number, True), record


def _listed(block: Block) -> Sequence[Record | RowError]:
    try:
        return table_rows(block.rows)
    except (ValueError, OverflowError):  # text that is no UTF-8, times out of range; in which row, shows below
        return [_alone(block, at) for at in range(len(block.rows))]


def _alone(block: Block, at: int) -> Record | RowError:
    place = Place(block.path, block.number + at, True)
    try:
        return table_rows(block.rows.slice(at, 1))[0]
    except UnicodeDecodeError as error:
        return RowError("FTC512", place, f"no UTF-8: {error.reason}")
    except (ValueError, OverflowError) as error:
        return RowError("FTC514", place, f"a value that cannot be read: {error}")


def _table_blocks(path: str, batches: Iterable[Any], kind: str) -> Iterator[Block]:
    number = 1
    for batch in batches:
        yield Block(path, kind, number, len(batch), batch)
        number += len(batch)
