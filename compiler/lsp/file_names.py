"""Files and folders that a leaf may name: beside the recipe, only in folders that are there, none of them read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from compiler.data.files import SUFFIXES, place

Wanted = Literal["data", "base", "tokenizer", "template", "folder"]

MOST: Final = 500
"""Names of a folder that are offered, and that are looked at."""
_PACKED: Final = (".gz", ".zst")


def file_candidates(typed: str, folder: Path, wanted: Wanted) -> Iterator[tuple[str, bool, str]]:
    """How the path may go on: the whole of it, whether it is a folder (with a slash at its end), and what it is."""
    head = typed[: typed.rfind("/") + 1]
    if typed == "~":
        return
    begun = typed[len(head) :]
    for entry in _entries(place(head or ".", folder)):
        if entry.name.startswith(".") and not begun.startswith("."):
            continue
        name = f"{head}{entry.name}"
        if _is_folder(entry):
            complete = _is_wanted(Path(entry.path), wanted)
            spelled = _as_path(name, wanted)
            if complete:
                yield spelled, True, complete
            if wanted != "folder":
                yield f"{spelled}/", True, "folder"
        elif _fits(entry.name, wanted):
            yield _as_path(name, wanted), False, _size(entry)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            listed = [entry for entry, _ in zip(found, range(MOST), strict=False)]
    except (OSError, ValueError):
        return []
    return sorted(listed, key=lambda entry: entry.name)


def _as_path(name: str, wanted: Wanted) -> str:
    """What would be read as an id of the hub begins with a dot."""
    told = name.startswith((".", "/", "~"))
    return name if told or wanted in ("data", "template", "folder") else f"./{name}"


def _is_wanted(path: Path, wanted: Wanted) -> str:
    """What a folder is, where it is what is wanted itself."""
    if wanted == "folder":
        return "folder"
    if wanted == "base" and (path / "config.json").is_file():
        return "a local base"
    if wanted == "tokenizer" and (path / "tokenizer_config.json").is_file():
        return "a tokenizer"
    return ""


def _fits(name: str, wanted: Wanted) -> bool:
    if wanted == "template":
        return name.endswith(".jinja")
    if wanted != "data":
        return False
    plain = name.lower()
    for packed in _PACKED:
        plain = plain.removesuffix(packed)
    return plain.rpartition(".")[2] in SUFFIXES


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _size(entry: os.DirEntry[str]) -> str:
    try:
        amount = entry.stat().st_size
    except OSError:
        return "file"
    return f"{amount / 2**20:.1f} MiB" if amount >= 2**20 else f"{amount / 2**10:.1f} KiB"
