"""The bundled catalog of base models, read once and only when asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, TypedDict, cast

from msgspec import Struct

import schemas
from schemas.facts import Prequantization

FILE: Final = Path(schemas.__file__).parent / "catalog" / "models.json"


class _Id(TypedDict, total=False):
    name: str
    chat_format: str | None
    prequantized: Prequantization
    config: dict[str, object]


class _Entry(TypedDict):
    ids: dict[str, _Id]
    config: dict[str, object]
    published_params: int | None
    params_source: str
    sources: list[str]


class Listed(Struct, frozen=True):
    """One hub id of the catalog. `config`: the keys of its config.json that decide sizes."""

    name: str
    hub_id: str
    config: Mapping[str, object]
    chat_format: str | None
    prequantized: Prequantization | None
    published_params: int | None
    sources: tuple[str, ...]


def look_up(base: str) -> Listed | None:
    """A model by catalog name or hub id, in any letter case; None where it is not listed."""
    place = _index().get(base.lower())
    return _listed(*place) if place else None


def names() -> tuple[str, ...]:
    """The catalog's own names, one for each checkpoint that is not a mirror of another."""
    return tuple(_names())


def nearest(base: str) -> str | None:
    """The listed name or id that is spelled most alike, or None where none is."""
    from difflib import get_close_matches  # only where something is misspelled

    spelled = {key.lower(): key for entry in _entries().values() for key in entry["ids"]} | {
        name: name for name in _names()
    }
    alike = get_close_matches(base.lower(), spelled, n=1, cutoff=0.7)
    return spelled[alike[0]] if alike else None


@lru_cache(maxsize=1)
def _entries() -> dict[str, _Entry]:
    return cast("dict[str, _Entry]", json.loads(FILE.read_text(encoding="utf-8"))["models"])


@lru_cache(maxsize=1)
def _names() -> dict[str, tuple[str, str]]:
    """Name → entry and hub id. The first id of an entry goes by the entry's name, unless it has one of its own."""
    places: dict[str, tuple[str, str]] = {}
    for entry_name, entry in _entries().items():
        for position, (hub_id, said) in enumerate(entry["ids"].items()):
            name = said.get("name") or (entry_name if position == 0 else None)
            if name:
                places[name] = (entry_name, hub_id)
    return places


@lru_cache(maxsize=1)
def _index() -> dict[str, tuple[str, str]]:
    ids = {key.lower(): (name, key) for name, entry in _entries().items() for key in entry["ids"]}
    entries = {name: (name, next(iter(entry["ids"]))) for name, entry in _entries().items()}
    return ids | entries | _names()


def _listed(entry_name: str, hub_id: str) -> Listed:
    entry = _entries()[entry_name]
    said = entry["ids"][hub_id]
    return Listed(
        name=said.get("name", entry_name),
        hub_id=hub_id,
        config={**entry["config"], **said.get("config", {})},
        chat_format=said.get("chat_format"),
        prequantized=said.get("prequantized"),
        published_params=entry["published_params"],
        sources=tuple(entry["sources"]),
    )
