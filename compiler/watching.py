"""`ftc validate --watch`: looks again when a recipe changes, or a file that it names.

By asking the file system for times and sizes, twice a second: it works on every file system and needs no package. Where
something changed, we wait until it stays the same for one round, so that a half-written file is not judged.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final, NoReturn

import click
from msgspec import Struct

from compiler.check import check
from compiler.data.files import expand, is_local, place
from compiler.errors import FtcError
from compiler.gathering import Unread, gather
from compiler.overrides import override
from compiler.source import parse, read
from schemas.recipe import Recipe, Source

ROUND: Final = 0.5
"""Seconds between two looks."""
LEAST_SHARE: Final = 20
"""A look may take one part in so many of the time: large folders are looked at less often."""
CLEAR: Final = "\x1b[2J\x1b[3J\x1b[H"
BESIDE_A_BASE: Final = ("config.json", "tokenizer_config.json", "chat_template.jinja")
"""Of a base or tokenizer in a folder, what the checks read."""

Stamp = tuple[int, int, int] | None
Stamps = dict[str, Stamp]


class Watched(Struct, frozen=True):
    """A recipe that was read: its file, and what it says as far as that could be read."""

    file: str
    recipe: Recipe | None


def watch(names: Sequence[str], sets: tuple[str, ...], look: Callable[[], object]) -> NoReturn:
    """Look, and again after each change, until Ctrl-C. `names`: files, folders and patterns as the user wrote them."""
    terminal = sys.stdout.isatty()
    while True:
        if terminal:
            click.echo(CLEAR, nl=False)
        # All this before we look: what changes meanwhile is seen the next time.
        first = stamps(names, ())
        seen = _read(names, sets)
        before = {**stamps(names, seen), **first}
        look()
        if terminal:
            click.echo(f"\nwatching {len(before)} files and folders; Ctrl-C ends", err=True)
        sys.stdout.flush()
        changed = _next_change(names, seen, before)
        if not terminal:
            click.echo(f"\n{', '.join(changed[:3])} changed", nl=True)


def _read(names: Sequence[str], sets: tuple[str, ...]) -> list[Watched]:
    """What the recipes say, as far as they can be read: which files they name."""
    found: list[Watched] = []
    for item in gather(names):
        if isinstance(item, str):
            with suppress(FtcError):
                found.append(Watched(item, check(override(parse(read(Path(item)), item), sets)).recipe))
    return found


def _next_change(names: Sequence[str], seen: Sequence[Watched], before: Stamps) -> list[str]:
    """Wait until something is not as before, and then until it stays as it is; what changed."""
    last = before
    while True:
        began = monotonic()
        now = stamps(names, seen)
        if now == last and now != before:
            return sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
        last = now
        sleep(max(ROUND, LEAST_SHARE * (monotonic() - began)))


def stamps(names: Sequence[str], seen: Sequence[Watched]) -> Stamps:
    """What the file system says of every file that matters; None where there is none."""
    recipes = [item for item in gather(names) if not isinstance(item, Unread)]
    named = [path for item in seen if item.recipe for path in _named(item.recipe, Path(item.file).absolute().parent)]
    return {str(path): _stamp(path) for path in (*names, *recipes, *named)}


def _stamp(path: str | Path) -> Stamp:
    """Which file it is, how long, and when it was written: editors save by renaming, so that the number counts. Of a
    folder, only that it is there: what is in it is looked at by name."""
    try:
        status = os.stat(path)  # noqa: PTH116 - of names as they are
    except (OSError, ValueError):
        return None
    return (0, 0, 0) if Path(path).is_dir() else (status.st_ino, status.st_size, status.st_mtime_ns)


def _named(recipe: Recipe, folder: Path) -> Iterator[Path]:
    """The files of this machine that a recipe names."""
    for source in _sources(recipe):
        if is_local(source.path):
            yield place(source.path, folder)
            yield from expand(source.path, folder)
    template = recipe.model.chat_template
    if template.endswith(".jinja") or "/" in template:
        yield place(template, folder)
    for base in filter(None, (recipe.model.base, recipe.model.tokenizer)):
        yield from (place(base, folder) / name for name in BESIDE_A_BASE)


def _sources(recipe: Recipe) -> Iterator[Source]:
    for said in (recipe.data.train, recipe.data.validation):
        if isinstance(said, Source):
            yield said
        elif isinstance(said, tuple):
            yield from said
