"""The ways to take a key or an item out of a recipe's text."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.source import Source
from compiler.text_places import Places
from compiler.yaml_edit.edits import Edit
from compiler.yaml_edit.spots import Spot, spot_of
from schemas.diagnostic import Path


def removals(source: Source, path: Path) -> Iterator[Edit]:
    """Edits that may do it."""
    spot, parent = spot_of(source, path), spot_of(source, path[:-1])
    if spot is None or parent is None:
        return
    start, end = spot.key[0] if spot.key else spot.value[0], spot.value[1]
    yield from _out_of_flow(source.text, parent, start, end) if parent.flow else _lines_out(source.text, start, end)


def _out_of_flow(text: str, parent: Spot, start: int, end: int) -> Iterator[Edit]:
    """With the comma behind it, else with the one before it; the brackets too where it was all that they held."""
    after = len(text) - len(text[end:].lstrip(" \t\r\n"))
    if text[after : after + 1] == ",":
        yield Edit(start, len(text) - len(text[after + 1 :].lstrip(" ")), "")
    before = text[:start].rstrip(" \t\r\n")
    if before.endswith(","):
        yield Edit(len(before) - 1, end, "")
    yield Edit(start, end, "")
    yield Edit(*parent.value, "")


def _lines_out(text: str, start: int, end: int) -> Iterator[Edit]:
    """Its lines, a comment at their ends too; of the first entry of a list's item only what is its own."""
    places = Places(text)
    line = places.line_of(end)
    if end > start and end == places.line_start(line):
        line -= 1
    yield Edit(places.line_start(places.line_of(start)), places.line_start(line + 1), "")
    following = text[end:]
    yield Edit(start, len(text) - len(following.lstrip(" \t\r\n")), "")
    yield Edit(start, end, "")
