"""Keys and words of the language, for an editor that has no schema beside us."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

from compiler.lsp.cursor import Cursor
from compiler.lsp.leaf_words import leaf_of, leaf_page
from compiler.shape import Member, admitted, arms, at, fields_of, required_of, section_at
from compiler.yaml_edit.spelling import spell
from schemas.diagnostic import dotted
from schemas.leaves import Leaf

Sort = Literal["key", "word"]
Item = tuple[str, Sort, str, str, str | None]


def key_candidates(cursor: Cursor, data: object) -> Iterator[Item]:
    """Keys that are not there yet, the required ones first; each with its colon, sections with a line below."""
    section = section_at(data, cursor.path)
    if section is None:
        if arms(admitted(data, cursor.path)):  # before `kind`, which decides what else there is
            yield "kind", "key", "required", leaf_page(data, (*cursor.path, "kind")), None if cursor.colon else "kind: "
        return
    present = at(data, cursor.path)
    taken = cast("dict[str, object]", present).keys() if isinstance(present, dict) else frozenset[str]()
    required = required_of(section)
    names = [name for name in fields_of(section) if name not in taken or name == cursor.typed]
    for name in sorted(names, key=lambda item: item not in required):
        about = leaf_page(data, (*cursor.path, name))
        written = None if cursor.colon else _with_colon(cursor, name, fields_of(section)[name])
        yield name, "key", "required" if name in required else "", about, written


def _with_colon(cursor: Cursor, name: str, found: tuple[Member, ...]) -> str:
    """A section goes on below, indented as the editor indents what follows a line."""
    below = all(member.section for member in found) and not cursor.flow
    return f"{name}:\n  " if below else f"{name}: "


def _fits(value: object, choices: list[object], leaf: Leaf) -> bool:
    """Whether a word of the leaf may stand here: those of a list's items stand in the list."""
    return value in choices or isinstance(value, bool) or not choices or leaf.path == "method.kind"


def word_candidates(cursor: Cursor, data: object) -> Iterator[Item]:
    """The values of an enum, `auto`, truth values and null; where there are none, the examples."""
    leaf = leaf_of(data, cursor.path)
    if leaf is None or leaf.keys or (cursor.kind == "value" and leaf.path.endswith("[]")):
        return
    found = admitted(data, cursor.path)
    choices = [choice for member in found for choice in member.choices]
    listed = [item for item in leaf.values if _fits(item.value, choices, leaf)]
    listing = cursor.kind == "value" and not choices and any(member.form == "list" for member in found)
    for item in listed:
        word = spell(item.value)
        yield word, "word", "", item.description, f"[{word}]" if listing and not cursor.quote else None
    if cursor.kind == "value" and any(member.type is type(None) for member in found):
        yield "null", "word", "", "", None
    if not listed and dotted(cursor.path) != "version":
        for item in leaf.examples:
            if isinstance(item, int | float):
                yield spell(item), "word", "example", "", None
