"""Every leaf that a plan can have, read off its types: all method arms, and sections that may be None as leaves too."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from schemas.plan import NOT_LEAVES, Plan, SourcePlan
from schemas.recipe import Fields


def leaf_patterns() -> frozenset[str]:
    """Paths as tables write them: `data.train[].path`."""
    hints = get_type_hints(Plan)
    return frozenset(path for name, hint in hints.items() if name not in NOT_LEAVES for path in _walk(name, hint))


def _walk(path: str, hint: Any) -> Iterator[str]:
    members = [member for member in _members(hint) if member is not type(None)]
    sections = [member for member in members if isinstance(member, type) and issubclass(member, Struct)]
    sources = [member for member in members if SourcePlan in get_args(member)]
    for section in sections:
        for name, inner in get_type_hints(section).items():
            yield from _walk(f"{path}.{name}", inner)
    for _ in sources:
        for name, inner in get_type_hints(SourcePlan).items():
            yield from _walk(f"{path}[].{name}", inner)
    if Fields in members:
        yield from (f"{path}.{name}" for name in Fields.model_fields)
    elif len(sections) + len(sources) < len(_members(hint)):
        yield path


def _members(hint: Any) -> tuple[Any, ...]:
    """The parts of a union, or the one type."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(inner for part in get_args(hint) for inner in _members(part))
    return (hint,)
