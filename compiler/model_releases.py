"""Who made a base model, when, and under which licence: facts of the catalog, read only when asked."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

import schemas

FILE: Final = Path(schemas.__file__).parent / "catalog" / "releases.json"

Commercial = Literal["allowed", "restricted", "no"]
Tuned = Literal["base", "instruct", "reasoning"]


class Release(Struct, frozen=True):
    """A checkpoint of the catalog. `licence`: its id. `commercial`: allowed, allowed on conditions (which `terms`
    names), or not. `languages`: how many the maker names, `listed`: those that are spelled out. `released`: a day or a
    month. `tuned`: to continue text, to follow instructions, or to reason first. None: not found where it was sought.
    """

    name: str
    group: str
    maker: str
    licence: str | None
    commercial: Commercial | None
    terms: str | None
    languages: int | None
    listed: tuple[str, ...]
    released: str | None
    tuned: Tuned
    sources: dict[str, str | None]


class _Except(Struct, frozen=True):
    licence: str | msgspec.UnsetType | None = msgspec.UNSET
    commercial: Commercial | msgspec.UnsetType | None = msgspec.UNSET
    terms: str | msgspec.UnsetType | None = msgspec.UNSET
    languages: int | msgspec.UnsetType | None = msgspec.UNSET
    listed: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    released: str | msgspec.UnsetType | None = msgspec.UNSET


class _Group(Struct, frozen=True, rename={"otherwise": "except"}):
    maker: str
    licence: str | None
    commercial: Commercial | None
    terms: str | None
    languages: int | None
    listed: tuple[str, ...]
    released: str | None
    models: dict[str, Tuned]
    sources: dict[str, str | None]
    otherwise: dict[str, _Except] = {}


class _File(Struct, frozen=True):
    releases: dict[str, _Group]


def release_of(name: str) -> Release | None:
    """Of a model by its name in the catalog; None where it is not in there."""
    return all_releases().get(name)


@lru_cache(maxsize=1)
def all_releases() -> dict[str, Release]:
    """Name in the catalog → its facts, in the catalog's order of releases."""
    groups = msgspec.json.decode(FILE.read_bytes(), type=_File).releases
    return {name: _release(name, key, group) for key, group in groups.items() for name in group.models}


def _release(name: str, key: str, group: _Group) -> Release:
    own = group.otherwise.get(name, _Except())

    def fact(leaf: str) -> object:
        said = getattr(own, leaf)
        return getattr(group, leaf) if said is msgspec.UNSET else said

    facts = {leaf: fact(leaf) for leaf in _Except.__struct_fields__}
    return msgspec.convert(
        {**facts, "name": name, "group": key, "maker": group.maker, "tuned": group.models[name]}
        | {"sources": group.sources},
        type=Release,
    )
