"""Which files a source names: by its spelling a file or a dataset of the hub, by its pattern one or many."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from backends.native.files import literal

SUFFIXES: Final = ("jsonl", "json", "csv", "parquet", "txt")
_LOCAL: Final = re.compile(rf"[./~]|.*\.({'|'.join(SUFFIXES)})(\.gz|\.zst)?$", re.DOTALL | re.IGNORECASE)
_MAGIC: Final = re.compile(r"[*?\[]")
MOST_ENTRIES: Final = 20_000
"""How many names a pattern may look at: `/**/*.jsonl` would walk the whole disk."""


def is_local(path: str) -> bool:
    """Whether a source is a file or glob (else it is a hub id): by its spelling alone, never by what exists."""
    return bool(_LOCAL.match(path) or _MAGIC.search(path))


def expand(pattern: str, folder: Path) -> tuple[Path, ...]:
    """The files that a source names, globs sorted; empty where there are none. Relative to `folder`.

    `**` stands for any folders. As in a shell, wildcards leave out names that begin with a dot.
    """
    try:
        full = folder / Path(pattern).expanduser()
        if full.is_file() or not _MAGIC.search(pattern):
            return (full,) if full.is_file() else ()
        base, rest = literal(full)
        return tuple(sorted(set(_matching(base, rest, iter(range(MOST_ENTRIES)))), key=str))
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
