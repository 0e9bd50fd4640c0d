"""The text of a first recipe: short, a leaf a line, each choice with its reason beside it."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent, wrap
from typing import cast

from backends.yaml_text import yaml_entry
from compiler.report.paint import printable

Tree = dict[str, object]
WIDTH = 110


def recipe_text(head: str, tree: Mapping[str, object], remarks: Mapping[str, str]) -> str:
    """YAML of the tree, which readers of YAML 1.1 and 1.2 read alike. `remarks`: path → why its value is what it is."""
    parts = [head]
    for name, value in tree.items():
        if isinstance(value, dict):
            leaves = cast(Tree, value)
            body = "".join(_entry(leaf, item, remarks.get(f"{name}.{leaf}")) for leaf, item in leaves.items())
            parts.append(f"\n{name}:\n{indent(body, '  ')}")
        else:
            parts.append(_entry(name, value, remarks.get(name)))
    return "".join(parts)


def _entry(name: str, value: object, remark: str | None) -> str:
    """A leaf; its remark on the same line, or above it where that would be long."""
    text = yaml_entry(name, value)
    if not remark:
        return text
    said = f"# {printable(remark)}"
    line = text.removesuffix("\n")
    if "\n" not in line and len(line) + len(said) <= WIDTH:
        return f"{line}  {said}\n"
    return "".join(f"# {part}\n" for part in wrap(printable(remark), WIDTH)) + text


def with_leaf(tree: Tree, path: str, value: object) -> None:
    """Set a leaf by its dotted path."""
    *above, last = path.split(".")
    inner = tree
    for part in above:
        inner = cast(Tree, inner.setdefault(part, {}))
    inner[last] = value
