"""Where a key, its value and the entries beside it stand in a recipe's text, as offsets: what an edit needs to know."""

from __future__ import annotations

from msgspec import Struct

from compiler.source import Source
from compiler.text_places import Places
from schemas.diagnostic import Path, dotted


class Spot(Struct, frozen=True):
    """`key`: None for list items and the whole. `flow`: the value is written in brackets; `in_flow`: so is what holds
    it. `empty`: there is nothing after the key, or a null. `entries`: name, beginning and end of each entry of a
    mapping, in the order of the text; `children`: their ends.
    """

    path: Path
    key: tuple[int, int] | None
    value: tuple[int, int]
    flow: bool
    in_flow: bool
    empty: bool
    entries: tuple[tuple[str, int, int], ...]
    children: tuple[int, ...]


def spot_of(source: Source, path: Path) -> Spot | None:
    """The spot of what stands at a path; None where nothing was written there."""
    name = dotted(path)
    place = source.place(name)
    if place is None:
        return None
    places = Places(source.text)
    value = places.stretch(place.value)
    key = places.stretch(place.key) if place.key else None
    entries = tuple(sorted(_entries(source, places, name), key=lambda item: item[1]))
    written = source.text[slice(*value)]
    return Spot(
        path=path,
        key=key,
        value=value,
        flow=written.startswith(("{", "[")),
        in_flow=any(_is_flow(source, places, path[:depth]) for depth in range(len(path))),
        empty=not entries and written.strip() in ("", "null", "~", "Null", "NULL"),
        entries=entries,
        children=tuple(sorted(end for _, _, end in entries)),
    )


def _entries(source: Source, places: Places, name: str) -> list[tuple[str, int, int]]:
    """What stands directly below a path."""
    found: list[tuple[str, int, int]] = []
    for path in source.marks:
        rest = _below(path, name)
        if rest is None:
            continue
        place = source.place(path)
        if place:
            begins = places.stretch(place.key)[0] if place.key else places.stretch(place.value)[0]
            found.append((rest, begins, places.stretch(place.value)[1]))
    return found


def _below(path: str, name: str) -> str | None:
    """The last part of a path that is one step below another."""
    if name == "":
        return path if path and "." not in path and "[" not in path else None
    if not path.startswith(name) or len(path) == len(name):
        return None
    rest = path[len(name) :]
    if rest[0] == "[":
        return rest if rest.index("]") == len(rest) - 1 else None
    return rest[1:] if rest[0] == "." and "." not in rest[1:] and "[" not in rest[1:] else None


def _is_flow(source: Source, places: Places, path: Path) -> bool:
    place = source.place(dotted(path))
    return place is not None and source.text[places.stretch(place.value)[0] :][:1] in ("{", "[")
