# pyright: basic
# Strict typing stops at gzip and zstandard, whose streams are alike in all but name.
"""Data files by their endings: which there are, how each is opened, and its rows as blocks and as records.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Any

from backends.native.findings import FileError
from backends.native.readers import (
    ROWS,
    SIZE,
    Block,
    Records,
    csv_blocks,
    csv_rows,
    json_blocks,
    json_items,
    json_lines,
    line_blocks,
    numbered,
    table_blocks,
    text_lines,
)

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
    """The files that a path or glob names, in the order in which they are read; `FileError` where there is none."""
    path = Path(pattern)
    found = [path] if path.is_file() else [Path(name) for name in sorted(glob(pattern, recursive=True))]  # noqa: PTH207 (absolute patterns)
    if not found:
        raise FileError(f'no file matches "{pattern}"')
    return found


@cache
def digest(file: Path) -> str:
    """A hash of a file's content."""
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
        yield from table_blocks(str(path), _parquet_batches(path), kind)
        return
    if kind not in READERS:
        raise FileError(f'"{path}" is none of {", ".join(READERS)}, {PARQUET}')
    try:
        with path.open("rb") as file, _unpacked(file, packed) as stream:
            yield from READERS[kind][0](str(path), _Watched(stream, file, advance), kind)
    except (OSError, EOFError, zlib.error, *_zstd_errors(packed)) as error:
        raise FileError(f'"{path}" cannot be read: {str(error) or "it is damaged"}') from error


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
    """A stream that tells how far into its file it is."""

    def __init__(self, stream: Any, file: Any, advance: Advance) -> None:
        self._stream, self._file, self._advance, self._at = stream, file, advance, 0

    def read(self, size: int) -> bytes:
        data: bytes = self._stream.read(size)
        if not self._at and data[:2] in UTF16:
            raise FileError(f'"{self._file.name}" is UTF-16; make it UTF-8: iconv -f UTF-16 -t UTF-8')
        at = self._file.tell()
        self._advance(at - self._at)
        self._at = at
        return data


def _parquet_batches(path: Path) -> Iterator[Any]:
    from pyarrow import ArrowException, parquet  # comes with datasets, and is rarely needed

    try:
        yield from parquet.ParquetFile(path).iter_batches(batch_size=ROWS)
    except (OSError, ArrowException) as error:
        raise FileError(f'"{path}" cannot be read: {error}') from error


def hub_blocks(source: Any) -> Iterator[Block]:
    """The rows of a dataset of the hub; `FileError` where it cannot be had."""
    from datasets import load_dataset  # two seconds, and only for data on the hub

    path, split = source["path"], source["split"]
    try:
        dataset = load_dataset(path, source["subset"], split=split, revision=source["revision"])
    except Exception as error:  # every kind of network, hub and format trouble ends here
        raise FileError(f'dataset "{path}" (split {split}) cannot be read: {error}') from error
    yield from table_blocks(path, dataset.with_format("arrow").iter(batch_size=ROWS), HUB)
