"""What there is to say about every leaf of the recipe language: for editors, hovers and the reference.

All of it stands beside the leaf in the recipe's sections; defaults and ranges are what pydantic checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType
from typing import cast

from msgspec import Struct
from msgspec.structs import replace
from pydantic.fields import FieldInfo

from schemas.members import Member, arms, describe, fields_of
from schemas.recipe import Recipe
from schemas.section import Section


class Value(Struct, frozen=True):
    """A word that a leaf takes, and what it does."""

    value: object
    description: str


class Leaf(Struct, frozen=True):
    """A leaf, or a section that stands at one path.

    `path`: as tables write it, `data.train[].path`. `kinds`: the method kinds that have it; empty: all.
    `default`: as in YAML; None where there is none (`required`), where it means "off", and for sections.
    `allowed`: what can stand there, in words. `values`: the words it takes, null too; where `open`, other text as well.
    `catalog`: whose names are suggested, `models` or `gpus`. `keys`: of a section; empty for a leaf.
    """

    path: str
    kinds: tuple[str, ...]
    description: str
    required: bool
    default: object
    allowed: str
    unit: str | None
    advice: str
    examples: tuple[object, ...]
    values: tuple[Value, ...]
    open: bool
    catalog: str | None
    keys: tuple[str, ...] = ()


@cache
def leaves() -> tuple[Leaf, ...]:
    """Every leaf of the language, in its order; a leaf of several method arms once for each arm."""
    return tuple(leaf for leaf in nodes() if not leaf.keys)


@cache
def nodes() -> tuple[Leaf, ...]:
    """The leaves and the sections around them; `method.kind` once, with the kinds of all arms."""
    return tuple(_walk("", Recipe, ()))


def leaf_at(path: str, kind: str | None = None) -> Leaf | None:
    """The leaf or section at a path of a recipe, `data.train[0].path`; in `method` of this kind, else the first."""
    found = _by_path().get(_plain(path), ())
    return next((leaf for leaf in found if not leaf.kinds or kind in leaf.kinds), found[0] if found else None)


@cache
def _by_path() -> Mapping[str, tuple[Leaf, ...]]:
    found: dict[str, tuple[Leaf, ...]] = {}
    for leaf in nodes():
        place = _plain(leaf.path)
        found[place] = (*found.get(place, ()), leaf)
    return found


def _plain(path: str) -> str:
    """A path without the places in lists."""
    return re.sub(r"\[\d*\]", "", path)


def _walk(place: str, section: type[Section], kinds: tuple[str, ...]) -> Iterator[Leaf]:
    for name, info in section.model_fields.items():
        key = info.alias or name
        path = f"{place}.{key}" if place else key
        found = fields_of(section)[key]
        named = arms(found)
        if named:
            yield _leaf(path, info, found, kinds)
            yield from _arms(path, named)
        elif not (kinds and key == "kind"):
            yield _leaf(path, info, found, kinds)
            yield from _inside(path, found, _kinds(info) or kinds)


def _arms(path: str, named: Mapping[str, type[Section]]) -> Iterator[Leaf]:
    """`kind` with the words of every arm, then the leaves of each arm."""
    sections = tuple(dict.fromkeys(named.values()))
    chosen = [_leaf(f"{path}.kind", arm.model_fields["kind"], fields_of(arm)["kind"], ()) for arm in sections]
    values = tuple(value for leaf in chosen for value in leaf.values)
    yield replace(
        chosen[0], values=values, allowed=describe(tuple(m for arm in sections for m in fields_of(arm)["kind"]))
    )
    for arm in sections:
        yield from _walk(path, arm, tuple(kind for kind, section in named.items() if section is arm))


def _inside(path: str, found: tuple[Member, ...], kinds: tuple[str, ...]) -> Iterator[Leaf]:
    """The leaves of a section that stands at a path, alone or as the items of a list."""
    items = [item.section for member in found for item in member.items if item.section]
    single = [member.section for member in found if member.section]
    if items:
        yield from _walk(f"{path}[]", items[0], kinds)
    elif single:
        yield from _walk(path, single[0], kinds)


def _leaf(path: str, info: FieldInfo, found: tuple[Member, ...], kinds: tuple[str, ...]) -> Leaf:
    said = cast("dict[str, object]", info.json_schema_extra or {})
    texts = cast("dict[str, str]", said.get("values") or {})
    keys = _keys(next((member.section for member in found if member.section), None), found)
    return Leaf(
        path=path,
        kinds=_kinds(info) or kinds,
        description=info.description or "",
        required=info.is_required(),
        default=None if keys else _default(info),
        allowed=describe(found),
        unit=cast("str | None", said.get("unit")),
        advice=str(said.get("advice", "")),
        examples=tuple(info.examples or ()),
        values=_values(found, texts),
        open=any(member.type is str for member in _flat(found)),
        catalog=cast("str | None", said.get("catalog")),
        keys=keys,
    )


def _kinds(info: FieldInfo) -> tuple[str, ...]:
    """The method kinds that a leaf of several is for."""
    return tuple(cast("dict[str, list[str]]", info.json_schema_extra or {}).get("kinds", ()))


def _keys(section: type[Section] | None, found: tuple[Member, ...]) -> tuple[str, ...]:
    """The keys of a section; of what may be a value as well (`data.validation`), none."""
    if section is None or any(
        member.form == "value" and not member.section and member.type is not NoneType for member in found
    ):
        return ()
    named = arms(found)
    return tuple(dict.fromkeys(key for arm in named.values() for key in fields_of(arm))) or tuple(fields_of(section))


def _default(info: FieldInfo) -> object:
    """As it would be written."""
    if info.is_required():
        return None
    value = cast(object, info.get_default(call_default_factory=True, validated_data={}))
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value


def _values(found: tuple[Member, ...], texts: Mapping[str, str]) -> tuple[Value, ...]:
    choices: list[object] = []
    for member in _flat(found):
        choices += member.choices or ((True, False) if member.type is bool else ())
    named = dict.fromkeys(_word(choice) for choice in choices)
    suggested = [word for word in texts if word not in named and word != "null"]
    off = [None] if any(member.type is NoneType for member in found) else []
    return tuple(Value(item, texts.get(_word(item), "")) for item in (*choices, *suggested, *off))


def _flat(found: tuple[Member, ...]) -> tuple[Member, ...]:
    """The alternatives of a leaf, and those of the items of a list."""
    return tuple(inner for member in found for inner in (member, *member.items))


def _word(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
