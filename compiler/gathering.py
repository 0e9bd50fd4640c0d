"""Which recipes are meant by what a command was given: files, folders with recipes below them, patterns."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct

ENDINGS: Final = (".ftc.yaml", ".ftc.yml")
NOT_OURS: Final = frozenset({"build", "outputs", "node_modules", "site-packages", "venv"})
"""Folders that are written by tools, and not looked into; nor are hidden ones."""
MOST: Final = 20_000
"""Folders that are looked into: `ftc validate /` would walk the whole disk."""
_MAGIC: Final = re.compile(r"[*?\[]")


class Unread(Struct, frozen=True):
    """What was named and gave nothing to look at: why, and what to do."""

    name: str
    message: str
    hint: str | None = None


Gathered = list[str | Unread]


def gather(names: Sequence[str]) -> Gathered:
    """Every recipe once, in the order of the names, those of a folder sorted; in its place what led to none."""
    found: dict[str, str | Unread] = {}
    for name in names:
        for item in _of(name):
            found.setdefault(os.path.abspath(item) if isinstance(item, str) else f"? {name}", item)  # noqa: PTH100 - a link is a recipe of its own
    return list(found.values())


def _of(name: str) -> Gathered:
    try:
        return _of_path(name)
    except (OSError, ValueError):
        return [name]  # whose reading says what is wrong


def _of_path(name: str) -> Gathered:
    if Path(name).is_dir():
        return _below(name)
    if _MAGIC.search(name) and not os.path.lexists(name):
        return _matching(name)
    return [name]


def _below(folder: str) -> Gathered:
    """The recipes in a folder and in those below it."""
    looked_in = list(islice(_walk(folder), MOST + 1))
    if len(looked_in) > MOST:
        return [Unread(folder, f'"{folder}" has over {MOST:,} folders below it', "name the one with the recipes")]
    found: Gathered = [item for files in looked_in for item in files]
    return found or [Unread(folder, f'there is no recipe in the folder "{folder}"', f"their names end in {ENDINGS[0]}")]


def _walk(folder: str) -> Iterator[list[str]]:
    """The recipes of each folder; a folder's own come before those of the folders in it."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in NOT_OURS)
        yield [os.path.join(place, name) for name in sorted(files) if _is_recipe(name)]  # noqa: PTH118 - keeps "./"


def _is_recipe(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _matching(pattern: str) -> Gathered:
    """What a pattern stands for where no shell has written it out, as in a workflow or between quotes."""
    from glob import iglob

    matches = sorted(islice(iglob(pattern, recursive=True), MOST))  # noqa: PTH207 - keeps the user's spelling
    if not matches:
        return [Unread(pattern, f'nothing matches "{pattern}"')]
    found = [item for name in matches for item in (_below(name) if Path(name).is_dir() else [name])]
    recipes: Gathered = [item for item in found if isinstance(item, str)]
    return recipes or found
