"""The keys of the installed Axolotl, from the models that validate its YAML.

Run by Axolotl's Python: `python keys_axolotl.py OUT.json`. Keys of plugins stand among the others, and again with the
plugin that brings them: without it Axolotl drops them in silence.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from pathlib import Path

import axolotl.integrations
from axolotl.utils.schemas.config import AxolotlInputConfig
from keys_writing import spelled, write
from pydantic import AliasChoices, BaseModel

DEPTH = 3
"""Sections below sections: deeper ones are free."""


def main() -> None:
    """Write the list."""
    keys: dict[str, str] = {}
    collect(AxolotlInputConfig, "", keys, DEPTH)
    brought: dict[str, str] = {}
    for module in plugins():
        added: dict[str, str] = {}
        for model in models(module):
            collect(model, "", added, DEPTH)
        for name in added.keys() - keys.keys():
            brought[name] = module.removesuffix(".args")
        keys = {**added, **keys}
    write("axolotl", "axolotl.utils.schemas", ("transformers", "trl", "peft", "pydantic"), keys, brought_by=brought)


def plugins() -> list[str]:
    """The modules in which plugins say what keys they bring."""
    root = Path(axolotl.integrations.__path__[0])
    return [f"axolotl.integrations.{path.parent.name}.args" for path in sorted(root.glob("*/args.py"))]


def models(module: str) -> list[type[BaseModel]]:
    """The plugin's own models that are no part of another one."""
    try:
        loaded = importlib.import_module(module)
    except ImportError as error:
        print(f"left out {module}: {error}")
        return []
    found = [item for _, item in inspect.getmembers(loaded, inspect.isclass) if item.__module__ == module]
    own = [item for item in found if issubclass(item, BaseModel)]
    inner = {part for item in own for field in item.model_fields.values() for part in sections(field.annotation)}
    return [item for item in own if item not in inner]


def collect(model: type[BaseModel], prefix: str, keys: dict[str, str], depth: int) -> None:
    """Every field under its name and its aliases, and those of the sections in it."""
    for name, field in model.model_fields.items():
        for said in {name, *aliases(field.validation_alias or field.alias)}:
            merged(keys, f"{prefix}{said}", spelled(field.annotation))
            listed = "[]" if is_list(field.annotation) else ""
            for section in sections(field.annotation) if depth else []:
                collect(section, f"{prefix}{said}{listed}.", keys, depth - 1)


def merged(keys: dict[str, str], name: str, kind: str) -> None:
    """A key that several kinds of an entry have: with the types of all."""
    parts = [*keys.get(name, "").split(" | "), *kind.split(" | ")]
    keys[name] = " | ".join(dict.fromkeys(part for part in parts if part))


def aliases(alias: object) -> list[str]:
    if isinstance(alias, AliasChoices):
        return [item for item in alias.choices if isinstance(item, str)]
    return [alias] if isinstance(alias, str) else []


def is_list(hint: object) -> bool:
    return typing.get_origin(hint) is list or any(is_list(item) for item in typing.get_args(hint))


def sections(hint: object) -> list[type[BaseModel]]:
    """The models in a type, in its order."""
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        return [hint]
    return [item for part in typing.get_args(hint) for item in sections(part)]


if __name__ == "__main__":
    main()
