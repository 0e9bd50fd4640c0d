"""Some rows of a source, evenly over it and always the same ones, and how many it has: in a fraction of a second,
however large it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from backends.native.files import PARQUET, local_files, unseen
from backends.native.findings import RowError
from backends.native.formats import Row
from backends.native.readers import BOM, LONGEST, Block
from backends.native.rows import Stretch, rows_of, stretches

WHOLE: Final = 1 << 19
"""Bytes of a source up to which all of its rows are read."""
WINDOWS: Final = 32
"""Places of a larger one at which rows are read, the same distance apart."""
WIDTH: Final = WHOLE // WINDOWS
"""Bytes of a window: the rows that begin in it are read."""
LISTED: Final = 8 << 20
"""Bytes of files that have to be read from their beginning, up to which that is done to their end."""
EACH: Final = 16
"""Rows that are looked at of each block of such a file."""
COUNTED: Final = 50_000
"""Rows that are counted one by one where a source has a limit."""
FEWEST: Final = 8
"""Rows below which windows have not met enough."""
LINES: Final = (".jsonl", ".txt")
Read = Row | RowError


class Sample(Struct, frozen=True):
    """`groups`: rows by the stretch in which they stand. `rows`: how many the source has, bad ones included, after its
    limit. `whole`: whether the groups are all of them. `scattered`: whether they are from all over the source; else
    they are its first ones."""

    groups: tuple[tuple[Read, ...], ...]
    rows: float
    whole: bool
    scattered: bool

    @property
    def seen(self) -> int:
        """How many rows were looked at."""
        return sum(map(len, self.groups))


class _Reader(Struct, frozen=True):
    """A source and how its rows become conversations."""

    source: Mapping[str, Any]
    system: str | None
    templated: bool

    def rows(self, block: Block) -> Iterator[Read]:
        """The rows of a block."""
        return rows_of(Stretch(0, 0, block), [self.source], self.system, self.templated)


def sample(source: Mapping[str, Any], system: str | None, *, templated: bool) -> Sample:
    """Rows of a source of local files; what cannot be read raises what the run would raise."""
    reader = _Reader(source, system, templated)
    files = local_files(source["path"])
    sizes = [path.stat().st_size for path in files]
    lines = all(path.suffix.lower() in LINES for path in files)
    if lines and sum(sizes) > WHOLE:
        return _scattered(reader, list(zip(files, sizes, strict=True)))
    return _from_the_beginning(reader, sum(sizes), files)


def _from_the_beginning(reader: _Reader, size: int, files: Sequence[Path]) -> Sample:
    """Files that cannot be entered anywhere: read to the end if they are small, else as far as is quick."""
    read = 0

    def advance(count: int) -> None:
        nonlocal read
        read += count

    small, groups, rows, ended = size <= WHOLE, list[tuple[Read, ...]](), 0, True
    for stretch in stretches([reader.source], advance if size > LISTED else unseen):
        if size > LISTED and (len(groups) == WINDOWS or read > LISTED):
            ended = False
            break
        groups.append(tuple(reader.rows(stretch.block) if small else islice(reader.rows(stretch.block), EACH)))
        rows += stretch.block.count
    seen = sum(map(len, groups))
    if ended:
        return Sample(tuple(groups), rows, whole=seen == rows, scattered=True)
    return Sample(tuple(groups), _all_rows(reader, files, rows, read / size), whole=False, scattered=False)


def _all_rows(reader: _Reader, files: Sequence[Path], rows: int, share: float) -> float:
    """How many there are, where `rows` of them were met in that share of the files' bytes."""
    if all(path.suffix.lower() == PARQUET for path in files):
        total = float(sum(map(table_length, files)))
    else:
        total = max(rows / share if share else rows, rows)
    limit = reader.source["limit"]
    return min(total, limit) if isinstance(limit, int) else total * (limit or 1)


def table_length(path: Path) -> int:
    """Rows of a parquet file, which its end tells."""
    pyarrow: Any = import_module("pyarrow.parquet")  # comes with datasets, and is rarely needed
    return pyarrow.ParquetFile(path).metadata.num_rows


def _scattered(reader: _Reader, files: list[tuple[Path, int]]) -> Sample:
    """Lines that begin in windows at the same distance from each other: every row is as likely to be among them."""
    limit, known = reader.source["limit"], None
    if isinstance(limit, int):
        files, known = _first_rows(files, limit)
    elif isinstance(limit, float):
        files = _first_bytes(files, sum(size for _, size in files) * limit)
    total = sum(size for _, size in files)
    count = min(WINDOWS, max(1, total // WIDTH))
    looked, groups = 0, list[tuple[Read, ...]]()
    for path, start, end in _windows(files, total, count):
        block = _lines_of(path, start, end)
        groups.append(tuple(reader.rows(block)))
        looked += end - start
    found = sum(map(len, groups))
    if found < FEWEST:  # rows are longer than windows are wide
        return _from_the_beginning(reader, max(total, LISTED + 1), [path for path, _ in files])
    rows = found * total / looked if known is None and looked else float(known or 0)
    whole = looked >= total
    return Sample(tuple(groups), min(rows, limit) if isinstance(limit, int) else rows, whole, scattered=True)


def _windows(files: Iterable[tuple[Path, int]], total: int, count: int) -> Iterator[tuple[Path, int, int]]:
    """Where windows begin and end: in the middles of equal parts of all bytes; none goes over the end of a file."""
    width = min(WIDTH, -(-total // count))
    starts = iter([(2 * at + 1) * total // (2 * count) - width // 2 for at in range(count)])
    start, before = next(starts), 0
    for path, size in files:
        while start is not None and start < before + size:
            begin = max(start - before, 0)
            yield path, begin, min(begin + width, size)
            start = next(starts, None)
        before += size


def _lines_of(path: Path, start: int, end: int) -> Block:
    """The lines that begin there, to the end of the last of them."""
    with path.open("rb") as stream:
        stream.seek(max(start - 1, 0))
        data = stream.read(end - start + (start > 0)) if end > start else b""
        if data and not data.endswith(b"\n"):
            data += stream.readline(LONGEST)
    if start:
        data = data.partition(b"\n")[2]  # begun before, or the end of the line before
    data = data.removeprefix(BOM)
    kind = path.suffix.lower()
    lines = data.split(b"\n")[: None if data and not data.endswith(b"\n") else -1]
    count = len(lines) if kind == ".txt" else sum(1 for line in lines if line and not line.isspace())
    return Block(str(path), kind, 1, count, data)


def _first_rows(files: list[tuple[Path, int]], limit: int) -> tuple[list[tuple[Path, int]], float | None]:
    """The part of the files with the first rows, and how many these are; no more than `COUNTED` are counted, beyond
    that all of the files are looked at."""
    if limit > COUNTED:
        return files, None
    found, rows = list[tuple[Path, int]](), 0
    for path, size in files:
        end = 0
        with path.open("rb") as stream:
            while rows < limit and (line := stream.readline(LONGEST)):
                end += len(line)
                rows += bool(path.suffix.lower() == ".txt" or line.strip())
        found.append((path, end))
        if rows >= limit:
            return found, rows
        del size
    return found, rows


def _first_bytes(files: list[tuple[Path, int]], most: float) -> list[tuple[Path, int]]:
    """The files up to so many bytes."""
    found, left = list[tuple[Path, int]](), int(most)
    for path, size in files:
        found.append((path, min(size, left)))
        left -= min(size, left)
    return [(path, size) for path, size in found if size]
