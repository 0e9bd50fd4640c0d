"""A recipe with every default written out, as text that means the same."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent
from typing import Final, cast

from msgspec.structs import replace

from backends.yaml_text import yaml_entry
from compiler.build import Compiled, Options, compile_recipe
from schemas.method import LoraMethod, Quantization
from schemas.recipe import Recipe

Tree = dict[str, object]
DEFAULT: Final = Options()


def spell_out(compiled: Compiled, recipe: Recipe, folder: Path, options: Options = DEFAULT) -> str:
    """YAML of the recipe, section by section.

    Some defaults may not be written down, as they have no effect (a leaf of another objective), or as the target of
    `options` has no word for them: they are left out. Which ones, the rules and the target's table say.
    """
    data = _tree(recipe)
    known = {item.path for item in compiled.diagnostics}
    while True:
        text = _text(recipe, data)
        again = compile_recipe(compiled.file, text, folder, replace(options, sets=()))
        refused = [item.path for item in again.diagnostics if item.level == "error" and item.path not in known]
        dropped = [path for path in refused if _drop(data, path)]
        if not dropped:
            return text


def _tree(recipe: Recipe) -> Tree:
    data: Tree = recipe.model_dump(mode="json", exclude={"schema_"})
    if recipe.training.max_steps is not None:
        cast(Tree, data["training"]).pop("epochs")
    method = recipe.method
    if isinstance(method, LoraMethod) and method.kind in ("qlora", "qdora") and method.quantization is None:
        cast(Tree, data["method"])["quantization"] = Quantization().model_dump(mode="json")
    return cast(Tree, _folded(data))


def _folded(value: object) -> object:
    """Sections in which nothing is set, as `{}`: fourteen times null would hide what is."""
    if isinstance(value, list):
        return [_folded(item) for item in cast(list[object], value)]
    if not isinstance(value, dict):
        return value
    tree = cast(Tree, value)
    return {key: _folded(item) for key, item in tree.items()} if any(_set(item) for item in tree.values()) else {}


def _set(value: object) -> bool:
    return value is not None and value != []


def _text(recipe: Recipe, data: Tree) -> str:
    head = "# Every leaf of the recipe. `auto`: the compiler decides; `ftc plan` says what and why.\n"
    about = {name: field.description for name, field in type(recipe).model_fields.items()}
    return head + "".join(f"\n# {about[name]}\n{_section(name, value)}" for name, value in data.items())


def _section(name: str, value: object) -> str:
    """One leaf a line."""
    if not isinstance(value, dict):
        return yaml_entry(name, value)
    leaves = cast(Tree, value)
    if not leaves:
        return yaml_entry(name, leaves)
    return f"{name}:\n" + "".join(indent(yaml_entry(leaf, item), "  ") for leaf, item in leaves.items())


def _drop(data: Tree, path: str) -> bool:
    """Take a leaf, or a whole section, out of the tree; whether it was there."""
    first, _, rest = path.partition(".")
    inner = data.get(first)
    if rest:
        return isinstance(inner, dict) and _drop(cast(Tree, inner), rest)
    return data.pop(first, _ABSENT) is not _ABSENT


_ABSENT: Final = object()
