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
MOST: Final = 10_000
"""How many folders and matches a pattern may look at: `/**/*.jsonl` would walk the whole disk."""


def is_local(path: str) -> bool:
    """Whether a source is a file or glob (else it is a hub id): by its spelling alone, never by what exists."""
    return bool(_LOCAL.match(path) or _MAGIC.search(path))


def place(path: str, folder: Path) -> Path:
    """Where a path leads from a folder, or from somebody's home for `~`."""
    try:
        return folder / Path(path).expanduser()
    except RuntimeError:  # nobody is called so
        return folder / path


def expand(pattern: str, folder: Path) -> tuple[Path, ...]:
    """The files that a source names, globs sorted; empty where there are none. Relative to `folder`.

    `**` stands for any folders. As in a shell, wildcards leave out names that begin with a dot.
    """
    return _expanded(pattern, folder)[0]


def is_too_wide(pattern: str, folder: Path) -> bool:
    """Whether there is more to look at than we do, so that files may match which `expand` does not know of."""
    return _expanded(pattern, folder)[1]


def _expanded(pattern: str, folder: Path) -> tuple[tuple[Path, ...], bool]:
    try:
        full = place(pattern, folder)
        if full.is_file() or not _MAGIC.search(pattern):
            return ((full,) if full.is_file() else ()), False
        base, rest = literal(full)
        budget = iter(range(MOST))
        return tuple(sorted(set(_matching(base, rest, budget)), key=str)), next(budget, None) is None
    except (OSError, ValueError):
        return (), False


def _matching(base: Path, parts: list[str], budget: Iterator[int]) -> Iterator[Path]:
    """Files below a folder whose path fits the parts of a pattern, as far as the budget goes."""
    plain = next((index for index, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
    base, parts = base.joinpath(*parts[:plain]), parts[plain:]
    if not parts:
        if base.is_file():
            yield base
        return
    anywhere, rest = parts[0] == "**", parts[1:]
    if anywhere:
        yield from _matching(base, rest, budget)
    for name in _names_in(base, parts[0], budget):
        yield from _matching(base / name, parts if anywhere else rest, budget)


def _names_in(folder: Path, pattern: str, budget: Iterator[int]) -> Iterator[str]:
    """Names that fit a part of a pattern, sorted. What does not fit costs next to nothing, and is not counted."""
    if next(budget, None) is None:
        return
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _fits(entry, pattern))
    except OSError:
        return
    yield from (name for name in names if next(budget, None) is not None)


def _fits(entry: os.DirEntry[str], pattern: str) -> bool:
    """Whether a name fits a part of a pattern; `**` stands for folders alone."""
    if entry.name.startswith(".") and not pattern.startswith("."):
        return False
    return _is_folder(entry) if pattern == "**" else fnmatchcase(entry.name, pattern)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False
