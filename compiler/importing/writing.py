"""Leaves → the text of a recipe: what differs from ftc's defaults, with a word where it is the tool's own default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import indent
from typing import Final, cast

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from backends.reading import Leaf, typed
from backends.yaml_text import yaml_entry
from schemas.members import arms, fields_of
from schemas.method import LoraMethod, Quantization
from schemas.recipe import Recipe, Source

Tree = dict[str, object]
KINDS: Final = arms(fields_of(Recipe)["method"])
SOURCES: Final = ("data.train", "data.validation")


def slug(text: str) -> str:
    """A name as recipes have it."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    return plain[:64] or "imported"


def kept(leaves: Mapping[str, Leaf]) -> dict[str, Leaf]:
    """The leaves that must be written: ftc's default is another value."""
    kind = leaves.get("method.kind")
    return {
        path: Leaf(_value(path, leaf.value), leaf.keys)
        for path, leaf in leaves.items()
        if "[" not in path and not _same(_value(path, leaf.value), default(path, str(kind.value) if kind else "lora"))
    }


def _same(left: object, right: object) -> bool:
    if left == [] and right == ():
        return True
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _value(path: str, value: object) -> object:
    if path in SOURCES and isinstance(value, list):
        items = [_in_order(cast("Tree", item)) for item in cast("list[object]", value)]
        return items[0] if len(items) == 1 else items
    return value if path.startswith("targets.") or value is None else typed(path, value)


def _in_order(source: Tree) -> Tree:
    return {name: source[name] for name in Source.model_fields if name in source}


def default(path: str, kind: str) -> object:
    """What ftc takes where this leaf is not written; a value that equals nothing where it must be."""
    model: type[BaseModel] = Recipe
    parts = path.split(".")
    for at, part in enumerate(parts):
        info = model.model_fields.get(part)
        if info is None:
            return PydanticUndefined
        if at == len(parts) - 1:
            found = info.get_default(call_default_factory=True)
            return () if found == () else found
        inner = KINDS.get(kind, LoraMethod) if part == "method" else info.annotation
        inner = Quantization if part == "quantization" else inner
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return PydanticUndefined
        model = inner
    return PydanticUndefined


def recipe_text(name: str, leaves: Mapping[str, Leaf], title: str, file: str) -> str:
    """The recipe, section by section in the order of the language."""
    head = f"# Imported by ftc from {file}, a config of {title}.\nversion: 1\nname: {name}\n"
    parts = [head]
    for section in Recipe.model_fields:
        here = {path: leaf for path, leaf in leaves.items() if path.startswith(f"{section}.")}
        if here:
            parts.append(f"{section}:\n" + "".join(_lines(section, here, f"{title}'s default")))
    return "\n".join(parts)


def _lines(section: str, leaves: Mapping[str, Leaf], word: str) -> Iterator[str]:
    """One leaf a line, in the order of the language."""
    groups: dict[str, list[str]] = {}
    for path in leaves:
        groups.setdefault(path.split(".")[1], []).append(path)
    for name in sorted(groups, key=lambda item: _rank(section, item)):
        paths = groups[name]
        if paths == [f"{section}.{name}"]:
            yield indent(_entry(name, leaves[paths[0]], word), "  ")
        else:
            value = {path.split(".", 2)[2]: leaves[path].value for path in paths}
            keys = tuple(key for path in paths for key in leaves[path].keys)
            yield indent(_entry(name, Leaf(value, keys or ("",)), word), "  ")


def _entry(name: str, leaf: Leaf, word: str) -> str:
    text = yaml_entry(name, leaf.value)
    return text if leaf.keys or text.count("\n") > 1 or name in ("train", "kind") else f"{text.rstrip()}  # {word}\n"


def _rank(section: str, name: str) -> int:
    order = [*Recipe.model_fields] if section == "" else _names(section)
    return order.index(name) if name in order else len(order)


def _names(section: str) -> list[str]:
    if section == "method":
        return [name for model in (LoraMethod, *KINDS.values()) for name in model.model_fields]
    inner = Recipe.model_fields[section].annotation
    return [*inner.model_fields] if isinstance(inner, type) and issubclass(inner, BaseModel) else []
