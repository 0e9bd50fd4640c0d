"""Tables of targets turned round: key → leaf, and their values → ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Union, get_args, get_origin

from msgspec import Struct
from pydantic import BaseModel

from schemas.method import FullMethod, LoraMethod
from schemas.recipe import Recipe
from schemas.support import Key, Table, same


class Back(Struct, frozen=True):
    """A key's leaf; `values`: theirs → ours, None where they are the same."""

    leaf: str
    values: Mapping[object, object] | None


def backwards(table: Table) -> dict[str, Back]:
    """Key → leaf, from the answers that are one key; values by trying what the recipe's leaf can be."""
    return {
        answer.key: Back(leaf, _values(answer.via, words(leaf)))
        for leaf, answer in reversed(table.items())
        if isinstance(answer, Key)
    }


def _values(via: Callable[[object], object], domain: tuple[object, ...]) -> Mapping[object, object] | None:
    """Theirs → ours; where several of ours are one of theirs, the first."""
    if via is same:
        return None
    found: dict[object, object] = {}
    for ours in domain:
        try:
            theirs = via(ours)
        except (KeyError, TypeError):
            continue
        found.setdefault(theirs, ours)
    return found


def words(leaf: str) -> tuple[object, ...]:
    """The words that a leaf of the recipe may be, without `auto`: those of its type, switches first."""
    return tuple(word for word in _words(annotation(leaf)) if word != "auto")


def annotation(leaf: str) -> object:
    """The type of a leaf of the recipe."""
    kind: object = Recipe
    for part in leaf.split("."):
        fields = {name: info for model in _models(kind) for name, info in model.model_fields.items()}
        if part not in fields:
            return None
        kind = fields[part].annotation
    return kind


def _models(kind: object) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    found = [model for part in get_args(kind) for model in _models(part)]
    return [FullMethod, LoraMethod] if LoraMethod in found else found


def _words(kind: object) -> Iterator[object]:
    if kind is bool:
        yield from (True, False)
    elif get_origin(kind) is Literal:
        yield from get_args(kind)
    else:
        parts = sorted(get_args(kind), key=lambda part: part is not bool)
        for part in parts if get_origin(kind) in (Union, type(int | str)) else parts[:1]:
            yield from _words(part)
