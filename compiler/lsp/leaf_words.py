"""What the language says of a leaf: for an editor that has no schema beside us."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.shape import at
from compiler.yaml_edit.spelling import spell
from schemas.diagnostic import Path, dotted
from schemas.leaves import Leaf, leaf_at


def leaf_of(data: object, path: Path) -> Leaf | None:
    """The leaf or section at a path, of the method that the recipe names."""
    kind = at(data, ("method", "kind"))
    return leaf_at(dotted(path), kind if isinstance(kind, str) else None)


def leaf_page(data: object, path: Path) -> str:
    """Sentence, what is allowed, default, unit, advice and examples, as Markdown; empty for an unknown key."""
    leaf = leaf_of(data, path)
    if leaf is None:
        return ""
    return "\n\n".join((f"**{dotted(path)}**: {leaf.description}", *(() if leaf.keys else _facts(leaf))))


def _facts(leaf: Leaf) -> Iterator[str]:
    unit = f", in {leaf.unit}" if leaf.unit else ""
    default = "required" if leaf.required else f"default `{spell(leaf.default)}`"
    yield f"{leaf.allowed}{unit}; {default}"
    if leaf.advice:
        yield leaf.advice
    said = [f"- `{spell(item.value)}`: {item.description}" for item in leaf.values if item.description]
    if said:
        yield "\n".join(said)
    if leaf.examples:
        yield "For example " + ", ".join(f"`{spell(item)}`" for item in leaf.examples)
