"""Plain data with something set, taken out or called otherwise; the data themselves stay as they are."""

from __future__ import annotations

from typing import cast

from compiler.shape import at, copied
from schemas.diagnostic import Path


def same(left: object, right: object) -> bool:
    """Equality that tells 1 from 1.0 and from true, and takes a nan for a nan."""
    kinds = type(left), type(right)
    if isinstance(left, dict) and isinstance(right, dict):
        ours, theirs = cast("dict[str, object]", left), cast("dict[str, object]", right)
        return ours.keys() == theirs.keys() and all(same(value, theirs[key]) for key, value in ours.items())
    if isinstance(left, list) and isinstance(right, list):
        mine, other = cast("list[object]", left), cast("list[object]", right)
        return len(mine) == len(other) and all(map(same, mine, other))
    nan = left != left and right != right  # noqa: PLR0124 - what a nan does
    return kinds[0] is kinds[1] and (left == right or nan)


def with_leaf(data: object, path: Path, value: object) -> object:
    """The data with the leaf set; None where something else stands in the way."""
    head, rest = path[0], path[1:]
    if isinstance(head, str):
        if data is not None and not isinstance(data, dict):
            return None
        section = dict(cast("dict[str, object]", data or {}))
        inner = with_leaf(section.get(head), rest, value) if rest else copied(value)
        return None if rest and inner is None else {**section, head: inner}
    if not isinstance(data, list) or head >= len(cast("list[object]", data)):
        return None
    items = list(cast("list[object]", data))
    inner = with_leaf(items[head], rest, value) if rest else copied(value)
    if rest and inner is None:
        return None
    items[head] = inner
    return items


def without(data: object, path: Path) -> object:
    """The data without what stands there; a section of which that was all stays, with nothing in it."""
    changed = copied(data)
    parent = at(changed, path[:-1])
    if isinstance(parent, dict):
        cast("dict[str | int, object]", parent).pop(path[-1], None)
        if not parent and len(path) > 1:
            holder = at(changed, path[:-2])
            cast("dict[str | int, object]", holder)[path[-2]] = None
    elif isinstance(parent, list) and isinstance(path[-1], int):
        del cast("list[object]", parent)[path[-1]]
    return changed


def renamed(data: object, path: Path, name: str) -> object:
    changed = copied(data)
    parent = at(changed, path[:-1])
    if isinstance(parent, dict):
        section = cast("dict[str, object]", parent)
        section[name] = section.pop(str(path[-1]))
    return changed
