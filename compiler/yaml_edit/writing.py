"""The ways to write a leaf into a recipe's text, the one that a person would take first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

from msgspec import Struct

from compiler.source import Source
from compiler.text_places import Places
from compiler.yaml_edit.edits import Edit
from compiler.yaml_edit.spelling import spell
from compiler.yaml_edit.spots import Spot, spot_of
from schemas.diagnostic import Path

INDENT: Final = "  "


def settings(source: Source, path: Path, value: object, order: tuple[str, ...]) -> Iterator[Edit]:
    """The ways to write a leaf, the one that a person would take first."""
    spot = spot_of(source, path)
    if spot:
        yield from _replacements(source, spot, value)
        return
    parent = spot_of(source, path[:-1])
    name = path[-1]
    if parent is None and len(path) > 1:
        yield from settings(source, path[:-1], {name: value}, order)
        return
    if isinstance(name, str):
        yield from _additions(source, parent, _Entry(name, value, path, order))


class _Entry(Struct, frozen=True):
    name: str
    value: object
    path: Path
    order: tuple[str, ...]

    def block(self, indent: str, line_break: str) -> str:
        """As lines of its own, sections below their key."""
        return _block(self.name, self.value, indent, line_break)


def _block(name: str, value: object, indent: str, line_break: str) -> str:
    inner = _filled(value)
    if inner:
        lines = (_block(key, item, indent + INDENT, line_break) for key, item in inner.items())
        return f"{spell(name)}:{line_break}{indent}{INDENT}" + f"{line_break}{indent}{INDENT}".join(lines)
    return f"{spell(name)}: {spell(value)}"


def _filled(value: object) -> dict[str, object] | None:
    """A section with something in it."""
    return cast("dict[str, object]", value) or None if isinstance(value, dict) else None


def _replacements(source: Source, spot: Spot, value: object) -> Iterator[Edit]:
    start, _ = spot.value
    end = start + len(source.text[slice(*spot.value)].rstrip())  # a block of text ends where the next line begins
    inner = _filled(value)
    if inner and spot.key and not spot.in_flow and (spot.empty or not spot.flow):
        line_break = Places(source.text).line_break
        indent = _indent_at(source.text, spot.key[0]) + INDENT
        lines = (_block(key, item, indent, line_break) for key, item in inner.items())
        below = line_break + indent + f"{line_break}{indent}".join(lines)
        yield Edit(spot.key[1], end, f":{below}")
    written = spell(value)
    if start == end:  # nothing after the colon, or after the dash
        yield Edit(start, end, f" {written}")
    yield Edit(start, end, written)
    if spot.key:
        yield Edit(spot.key[1], end, f": {written}")


def _additions(source: Source, parent: Spot | None, entry: _Entry) -> Iterator[Edit]:
    places = Places(source.text)
    if parent is None:
        yield from _whole(source, entry)
    elif parent.flow:
        yield from _into_flow(source, parent, entry)
    elif parent.empty:
        yield from () if parent.in_flow else _into_empty(places, parent, entry)
        yield from _replacements(source, parent, {entry.name: entry.value})
    else:
        yield from _into_block(source, places, parent, entry)


def _whole(source: Source, entry: _Entry) -> Iterator[Edit]:
    """A text with nothing but comments."""
    text, line_break = source.text, Places(source.text).line_break
    glue = "" if not text or text.endswith(("\n", "\r")) else line_break
    yield Edit(len(text), len(text), glue + entry.block("", line_break) + line_break)


def _into_flow(source: Source, parent: Spot, entry: _Entry) -> Iterator[Edit]:
    written = f"{spell(entry.name)}: {spell(entry.value)}"
    last = parent.children[-1] if parent.children else None
    if last is None:
        inside = parent.value[0] + 1
        yield Edit(inside, inside, written)
        return
    glue = " " if source.text[last - 1 : last] == "," else ", "
    yield Edit(last, last, glue + written)


def _into_empty(places: Places, parent: Spot, entry: _Entry) -> Iterator[Edit]:
    """Below a key that has nothing after it, behind a comment on its line."""
    if parent.key is None:
        return
    indent = _indent_at(places.text, parent.key[0]) + INDENT
    end = places.line_end(places.line_of(parent.key[1]))
    lines = f"{places.line_break}{indent}{entry.block(indent, places.line_break)}"
    start, stop = parent.value
    if start == stop:
        yield Edit(end, end, lines)
    yield Edit(start, max(end, stop) if not places.text[stop:end].strip() else stop, lines)


def _into_block(source: Source, places: Places, parent: Spot, entry: _Entry) -> Iterator[Edit]:
    """After what stands before it in the language's order, else after the last; before the first where that fails."""
    if not parent.entries:
        return
    first = parent.entries[0][1]
    indent = _indent_at(source.text, first)
    text = entry.block(indent, places.line_break)
    for end in _ends(parent, entry):
        yield _line_after(places, end, indent, text, spaced=parent.path == () and _is_spaced(places, parent))
    yield Edit(first, first, f"{text}{places.line_break}{indent}")


def _ends(parent: Spot, entry: _Entry) -> Iterator[int]:
    """Ends of the entries after which it may stand."""
    before = entry.order[: entry.order.index(entry.name)] if entry.name in entry.order else ()
    ends = {name: end for name, _, end in parent.entries}
    yield from (ends[name] for name in reversed(before) if name in ends)
    yield parent.entries[-1][2]


def _line_after(places: Places, end: int, indent: str, text: str, *, spaced: bool) -> Edit:
    """A new line below the one in which something ends; a block of text ends where the next line begins."""
    line = places.line_of(end)
    if end and end == places.line_start(line) and line:
        line -= 1
    at_end = places.line_end(line)
    gap = places.line_break * 2 if spaced and ": " not in text.split("\n", 1)[0] else places.line_break
    return Edit(at_end, at_end, f"{gap}{indent}{text}")


def _is_spaced(places: Places, parent: Spot) -> bool:
    """Whether sections stand apart by an empty line."""
    starts = [start for _, start, _ in parent.entries[1:]]
    lines = (places.line_of(start) for start in starts)
    return any(line and not places.text[places.line_start(line - 1) : places.line_end(line - 1)] for line in lines)


def _indent_at(text: str, offset: int) -> str:
    """As many spaces as stand before it; a dash counts as one."""
    start = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    return " " * (offset - start - text.startswith("\ufeff", start))
