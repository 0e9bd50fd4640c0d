"""Changes a recipe's text by as little as possible: a leaf set, taken out or called otherwise, all else as it was.

Every way to write a change is tried out: the result is read again, and must hold what was wanted and nothing else. So a
change that cannot be written without disturbing the rest (of what an alias stands for, say) is none: `None`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Concatenate, Final, ParamSpec

from compiler.shape import at, fields_of
from compiler.source import Source, parse
from compiler.yaml_edit.edits import Edit, apply, edits_between
from compiler.yaml_edit.removing import removals
from compiler.yaml_edit.spelling import spell
from compiler.yaml_edit.spots import spot_of
from compiler.yaml_edit.tree import renamed, same, with_leaf, without
from compiler.yaml_edit.writing import settings
from schemas.diagnostic import Path
from schemas.recipe import Recipe

__all__ = ["SECTIONS", "Edit", "apply", "edits_between", "move", "remove", "rename", "set_leaves", "spell"]

SECTIONS: Final = tuple(fields_of(Recipe))
"""The recipe's sections, in the language's order."""
Given = ParamSpec("Given")


def _keeping_mark(
    change: Callable[Concatenate[str, Given], str | None],
) -> Callable[Concatenate[str, Given], str | None]:
    """The same change for a text that may begin with a byte order mark, which is no part of its YAML."""

    @wraps(change)
    def kept(text: str, *args: Given.args, **kwargs: Given.kwargs) -> str | None:
        bare = text.removeprefix("\ufeff")
        found = change(bare, *args, **kwargs)
        return None if found is None else text[: len(text) - len(bare)] + found

    return kept


@_keeping_mark
def set_leaves(text: str, leaves: Mapping[Path, object], order: tuple[str, ...] = ()) -> str | None:
    """The text with these leaves (path → plain value), missing sections made. `order`: in which sections stand."""
    for path, value in leaves.items():
        changed = _set(text, path, value, order)
        if changed is None:
            return None
        text = changed
    return text


@_keeping_mark
def remove(text: str, path: Path) -> str | None:
    """The text without this key or item; a section in which it was all there was stays, empty."""
    source = parse(text, "")
    return _first(source, without(source.data, path), removals(source, path))


@_keeping_mark
def rename(text: str, path: Path, name: str) -> str | None:
    """The text with this key called otherwise."""
    source = parse(text, "")
    spot = spot_of(source, path)
    if spot is None or spot.key is None or not isinstance(path[-1], str):
        return None
    wanted = renamed(source.data, path, name)
    start, end = spot.key
    return _first(source, wanted, iter([Edit(start, end, spell(name))]))


def move(text: str, path: Path, to: Path, order: tuple[str, ...] = ()) -> str | None:
    """The text with what stands at one path at another."""
    value = at(parse(text, "").data, path)
    left = remove(text, path)
    return None if left is None else set_leaves(left, {to: value}, order)


def _set(text: str, path: Path, value: object, order: tuple[str, ...]) -> str | None:
    source = parse(text, "")
    if source.data is None and text.strip() and not _only_comments(text):
        return None
    wanted = with_leaf(source.data or {}, path, value)
    if wanted is None:
        return None
    if source.data is not None and same(wanted, source.data):
        return text
    return _first(source, wanted, settings(source, path, value, order))


def _only_comments(text: str) -> bool:
    return all(not line.strip() or line.lstrip().startswith(("#", "---")) for line in text.splitlines())


def _first(source: Source, wanted: object, tries: Iterator[Edit]) -> str | None:
    """The first of the ways to write it that reads back as wanted."""
    for edit in tries:
        text = apply(source.text, (edit,))
        again = parse(text, "")
        if again.data is not None and same(again.data, wanted) and len(again.diagnostics) <= len(source.diagnostics):
            return text
    return None
