"""What the recipe language admits at a path, read from the schema's types: for messages, hints and repairs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final, cast

from schemas.diagnostic import Path
from schemas.members import Form, Member, arms, describe, fields_of, required_of
from schemas.recipe import Recipe
from schemas.section import Section

__all__ = [
    "ROOT",
    "Form",
    "Member",
    "admitted",
    "arms",
    "at",
    "copied",
    "describe",
    "fields_of",
    "form_of",
    "kinds_with",
    "leaf_places",
    "required_of",
    "section_at",
]

ROOT: Final = (Member(Recipe),)


def form_of(value: object) -> Form:
    """What a value looks like in YAML."""
    return "mapping" if isinstance(value, dict) else "list" if isinstance(value, list) else "value"


def at(data: object, path: Path) -> object:
    """The value at a path of plain data; None where there is none."""
    for part in path:
        if isinstance(part, int):
            items = cast("list[object]", data) if isinstance(data, list) else []
            data = items[part] if part < len(items) else None
        else:
            data = cast("dict[str, object]", data).get(part) if isinstance(data, dict) else None
    return data


def copied(data: object) -> object:
    """A copy all the way down; what a YAML alias shares is shared no longer."""
    if isinstance(data, dict):
        return {key: copied(inner) for key, inner in cast("dict[str, object]", data).items()}
    return [copied(inner) for inner in cast("list[object]", data)] if isinstance(data, list) else data


def admitted(data: object, path: Path) -> tuple[Member, ...]:
    """The alternatives at a path, given the data around it (they say which method it is). Empty: unknown key."""
    found = ROOT
    for depth, part in enumerate(path):
        if isinstance(part, int):
            found = tuple(item for member in found for item in member.items)
        else:
            section = _section(at(data, path[:depth]), found)
            found = fields_of(section).get(part, ()) if section else ()
    return found


def section_at(data: object, path: Path) -> type[Section] | None:
    """Which section stands at a path, given the data."""
    return _section(at(data, path), admitted(data, path))


def _section(value: object, found: tuple[Member, ...]) -> type[Section] | None:
    named = arms(found)
    if named:
        kind = at(value, ("kind",))
        return named.get(kind) if isinstance(kind, str) else None
    return next((member.section for member in found if member.section), None)


def leaf_places(key: str) -> Iterator[str]:
    """Where in the language a key of this name stands: `training`, `data.train[]` …; "" is the top."""
    return (place for place, section in _sections() if key in fields_of(section))


def kinds_with(key: str) -> tuple[str, ...]:
    """The method kinds that have this key."""
    named = arms(fields_of(Recipe)["method"])
    return tuple(kind for kind, section in named.items() if key in fields_of(section))


@cache
def _sections() -> tuple[tuple[str, type[Section]], ...]:
    """Every section with the path at which it stands, list indices left out."""
    found: list[tuple[str, type[Section]]] = []
    todo: list[tuple[str, type[Section]]] = [("", Recipe)]
    while todo:
        place, section = todo.pop(0)
        found.append((place, section))
        for key, alternatives in fields_of(section).items():
            inner = f"{place}.{key}" if place else key
            todo += [(inner, member.section) for member in alternatives if member.section]
    return tuple(found)
