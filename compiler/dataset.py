"""Data files, without reading more of them than the first row: which they are, and what their rows look like."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Final, cast

from msgspec import Struct

from schemas.recipe import DataFormat, Fields

SUFFIXES: Final = ("jsonl", "json", "csv", "parquet", "txt")
_LOCAL: Final = re.compile(rf"[./~]|.*\.({'|'.join(SUFFIXES)})(\.gz|\.zst)?$", re.DOTALL)
_MAGIC: Final = re.compile(r"[*?\[]")
MOST_ENTRIES: Final = 20_000
"""How many names a pattern may look at: `/**/*.jsonl` would walk the whole disk."""
_LOOK: Final = 1 << 20
"""How far into a file the first row is sought, in characters."""


class FirstRow(Struct, frozen=True):
    """What the first row of a file shows. `format` is None where it fits none, or cannot be looked at.

    `columns`: its keys. `problem`: why the file cannot be right, in words; None where nothing speaks against it.
    `speakers`: the roles of its turns, as written; empty for other rows.
    """

    format: DataFormat | None
    columns: tuple[str, ...] = ()
    problem: str | None = None
    speakers: tuple[str, ...] = ()


def is_local(path: str) -> bool:
    """Whether a source is a file or glob (else it is a hub id): by its spelling alone, never by what exists."""
    return bool(_LOCAL.match(path))


def expand(pattern: str, folder: Path) -> tuple[Path, ...]:
    """The files that a source names, globs sorted; empty where there are none. Relative to `folder`.

    `**` stands for any folders. As in a shell, wildcards leave out names that begin with a dot.
    """
    try:
        full = folder / Path(pattern).expanduser()
        if full.is_file() or not _MAGIC.search(pattern):
            return (full,) if full.is_file() else ()
        parts = list(full.parts)
        return tuple(sorted(set(_matching(Path(parts[0]), parts[1:], iter(range(MOST_ENTRIES))))))
    except (OSError, ValueError, RuntimeError):
        return ()


def _matching(base: Path, parts: list[str], budget: Iterator[int]) -> Iterator[Path]:
    """Files below a folder whose path fits the parts of a pattern, as far as the budget of entries goes."""
    plain = next((index for index, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
    base, parts = base.joinpath(*parts[:plain]), parts[plain:]
    if not parts:
        if base.is_file():
            yield base
        return
    anywhere, rest = parts[0] == "**", parts[1:]
    if anywhere:
        yield from _matching(base, rest, budget)
    for name in _names_in(base):
        if next(budget, None) is None:
            return
        if name.startswith(".") and not parts[0].startswith("."):
            continue
        if anywhere:
            yield from _matching(base / name, parts, budget) if (base / name).is_dir() else ()
        elif fnmatchcase(name, parts[0]):
            yield from _matching(base / name, rest, budget)


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  # names alone: most of them match nothing
    except OSError:
        return []


def sniff(path: Path, fields: Fields | None = None) -> DataFormat | None:
    """The format that the first row of a file has; None where it fits none or cannot be looked at."""
    return first_row(path, fields or Fields()).format


def first_row(path: Path, fields: Fields) -> FirstRow:
    """Look at the first row. `fields`: the columns' names where they are not ours."""
    suffix = path.name.removesuffix(".gz").rpartition(".")[2]
    if suffix == "txt":
        return FirstRow("text")
    reader = {"jsonl": _json_line, "json": _json_item, "csv": _csv_row}.get(suffix)
    try:
        return _of_row(reader(path), fields) if reader else FirstRow(None)
    except _NoRowError as problem:
        return FirstRow(None, problem=str(problem))
    except UnicodeDecodeError:
        return FirstRow(None, problem="the file is not UTF-8 text")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "damaged or not compressed"
        return FirstRow(None, problem=f"the file cannot be read: {str(reason).lower()}")


class _NoRowError(Exception):
    """There is no first row; the message says why."""


@contextmanager
def _opened(path: Path) -> Generator[IO[str]]:
    if path.name.endswith(".gz"):
        import gzip  # compressed files are rare

        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as stream:
            yield cast("IO[str]", stream)
    else:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield stream


def _json_line(path: Path) -> object:
    with _opened(path) as stream:
        for number in range(1, 1000):
            line = stream.readline(_LOOK)
            if not line:
                raise _NoRowError("the file has no rows")
            if line.strip():
                return _decoded(line, f"line {number}", json.loads) if len(line) < _LOOK else {}
    raise _NoRowError("the first thousand lines are empty")


def _json_item(path: Path) -> object:
    """The first object of a list; `.json` files may hold JSON lines too."""
    with _opened(path) as stream:
        text = stream.read(_LOOK)
    start = text.lstrip()
    if start.startswith("["):
        start = start[1:].lstrip()
        if start.startswith("]"):
            raise _NoRowError("the list has no rows")
    if not start:
        raise _NoRowError("the file has no rows")
    if len(text) == _LOOK:
        return {}
    return _decoded(start, "the first row", lambda rest: json.JSONDecoder().raw_decode(rest)[0])


def _decoded(text: str, where: str, decode: Callable[[str], object]) -> object:
    try:
        return decode(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "it is nested too deeply")
        raise _NoRowError(f"{where} is not JSON: {str(reason)[:1].lower()}{str(reason)[1:]}") from None


def _csv_row(path: Path) -> dict[str, object]:
    import csv  # most files are JSON lines

    with _opened(path) as stream:
        rows = csv.reader(iter(lambda: stream.readline(_LOOK), ""))
        try:
            header, first = next(rows, None), next(rows, None)
        except csv.Error as error:
            raise _NoRowError(f"the first row is not CSV: {error}") from None
    if header is None or first is None:
        raise _NoRowError("the file has no rows below its header" if header else "the file has no rows")
    return dict(zip(header, first, strict=False))


def _of_row(row: object, fields: Fields) -> FirstRow:
    if not isinstance(row, dict):
        return FirstRow(None, problem='a row must be a mapping of columns, as {"messages": […]}')
    columns = cast("dict[str, object]", row)
    found = _format(columns, fields)
    speakers = _speakers(columns, fields) if found in ("messages", "sharegpt") else ()
    return FirstRow(found, tuple(columns), speakers=speakers)


def _speakers(row: dict[str, object], fields: Fields) -> tuple[str, ...]:
    turns = cast("list[object]", row.get(fields.messages or "messages", row.get("conversations")))
    keys = (fields.role,) if fields.role else ("role", "from")
    spoken = (cast("dict[str, object]", turn).get(key) for turn in turns if isinstance(turn, dict) for key in keys)
    return tuple(said for said in spoken if isinstance(said, str))


def _format(row: dict[str, object], fields: Fields) -> DataFormat | None:
    """The columns decide; the answer pairs come first, since they too may have a `prompt`."""

    def has(*names: str) -> bool:
        return all((getattr(fields, name) or name) in row for name in names)

    turns = row.get(fields.messages or "messages", row.get("conversations"))
    if isinstance(turns, list) and turns:
        return _turns_format(cast("list[object]", turns)[0], fields, fields.messages or "messages" in row)
    if has("chosen", "rejected"):
        return "preference"
    if has("completion", "label"):
        return "kto"
    if has("prompt", "completion"):
        return "prompt_completion"
    if has("instruction", "output"):
        return "alpaca"
    return "text" if has("text") else None


def _turns_format(turn: object, fields: Fields, named: object) -> DataFormat | None:
    """`named`: the column is called `messages`, or as `fields` says. ShareGPT's is `conversations`, its keys other."""
    keys = cast("dict[str, object]", turn) if isinstance(turn, dict) else {}
    if "from" in keys and "value" in keys and fields.role in (None, "from"):
        return "sharegpt"
    known = (fields.role or "role") in keys and (fields.content or "content") in keys
    return "messages" if known and named else None
