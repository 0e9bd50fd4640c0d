"""`--set a.b=c` and `--set ~a.b`: what the command line changes in a recipe, before it is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, cast

from msgspec.structs import replace

from compiler.shape import admitted, at, copied, fields_of, section_at
from compiler.source import Place, Source, parse
from schemas.diagnostic import Diagnostic, Path, Span, dotted

FILE: Final = "--set"
"""The file that a finding about an option names; its line counts the options, from 1."""

_PATH: Final = re.compile(r"[^\s.\[\]=~]+(\[\d{1,6}\])*(\.[^\s.\[\]=~]+(\[\d{1,6}\])*)*")
_PART: Final = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def override(source: Source, sets: tuple[str, ...]) -> Source:
    """The source with each change applied, in order. What is set is checked later, with the rest of the recipe."""
    if source.data is None or not sets:
        return source
    changes = _Changes(source)
    for number, option in enumerate(sets, start=1):
        changes.apply(option, number)
    return changes.result()


class _Changes:
    """Data and places, changed option by option; the source that they came from stays as it was."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.data = cast("dict[str, object]", copied(source.data))
        self.marks = dict(source.marks)
        self.places: dict[str, Place] = {}
        self.removed: dict[str, Place] = {}
        self.diagnostics: list[Diagnostic] = []

    def result(self) -> Source:
        said = (*self.source.diagnostics, *self.diagnostics)
        return replace(
            self.source, data=self.data, marks=self.marks, overrides=self.places, diagnostics=said, removed=self.removed
        )

    def apply(self, option: str, number: int) -> None:
        removes = option.startswith("~")
        name, equals, text = option[removes:].partition("=")
        if not _PATH.fullmatch(name) or bool(equals) == removes:
            span = Span(number, 1, number, len(option) + 1)
            hint = "write --set training.epochs=3, or --set ~data.validation to remove"
            self._report("", f"cannot read --set {option[:80]}", span, hint)
            return
        key = Span(number, 1 + removes, number, 1 + removes + len(name))
        if removes:
            self._remove(_path(name), name, key)
        else:
            start = key.end_column + 1
            self._set(_path(name), name, text, Place(FILE, key, Span(number, start, number, start + len(text))))

    def _set(self, path: Path, name: str, text: str, place: Place) -> None:
        read = read_value(text)
        if read.data is None or read.diagnostics or set(read.data) != {"value"}:
            self._report(name, f"the value of {name} is not readable as YAML", place.value, "put it in quotes")
            return
        value = self._typed(path, copied(read.data["value"]), text)
        parent = self._parent(path, place)
        key = path[-1]
        self._forget(name)
        if isinstance(parent, dict) and isinstance(key, str):
            parent[key] = value
        elif isinstance(parent, list) and isinstance(key, int) and key <= len(parent):
            parent[key : key + 1] = [value]
        else:
            self._report(name, f"there is no {name} in this recipe", place.key or place.value, self._shape_hint(path))
            return
        inside = Place(FILE, None, place.value)
        self.places |= dict.fromkeys(_paths(name, value), inside) | {name: place}

    def _typed(self, path: Path, value: object, text: str) -> object:
        """Where the language admits text and no number, `123` and `1e5` are text."""
        types = {member.type for member in admitted(self.data, path)}
        scalar = isinstance(value, bool | int | float)
        return text.strip() if scalar and str in types and not types & {bool, int, float} else value

    def _parent(self, path: Path, place: Place) -> dict[str, object] | list[object] | None:
        """What holds the last part of a path. Sections that are not there yet are made on the way."""
        found = cast("object", self.data)
        for depth, part in enumerate(path[:-1], start=1):
            if isinstance(found, dict) and isinstance(part, str):
                section = cast("dict[str, object]", found)
                if section.get(part) is None:
                    section[part] = {}
                    self.places.setdefault(dotted(path[:depth]), place)
                found = section[part]
            elif isinstance(found, list) and isinstance(part, int):
                items = cast("list[object]", found)
                found = items[part] if part < len(items) else None
            else:
                return None
        return cast("dict[str, object] | list[object]", found) if isinstance(found, dict | list) else None

    def _remove(self, path: Path, name: str, span: Span) -> None:
        """What the language knows and the recipe has not is fine: its default stands either way."""
        present = at(self.data, path) is not None
        if not (present or admitted(self.data, path) or admitted(self.source.data, path)):
            self._report(name, f"there is no {name} to remove", span, known_hint(self.data, path))
            return
        *above, key = path
        parent: object = self.data
        for part in above:
            inside = cast("dict[str | int, object]", parent) if isinstance(parent, dict) else {}
            items = cast("list[object]", parent) if isinstance(parent, list) else []
            parent = items[part] if isinstance(part, int) and part < len(items) else inside.get(part)
        if isinstance(parent, dict):
            cast("dict[str | int, object]", parent).pop(key, None)
        elif isinstance(parent, list) and isinstance(key, int):
            del cast("list[object]", parent)[key : key + 1]
        self._forget(name)
        if present:
            self.removed[name] = Place(FILE, span, span)

    def _forget(self, name: str) -> None:
        below = (f"{name}.", f"{name}[")
        self.marks = {path: marks for path, marks in self.marks.items() if path != name and not path.startswith(below)}
        self.places = {path: at for path, at in self.places.items() if path != name and not path.startswith(below)}

    def _shape_hint(self, path: Path) -> str:
        indexed = any(isinstance(part, int) for part in path)
        plain = dotted(tuple(part for part in path if isinstance(part, str)))
        return f"if there is only one, write {plain}" if indexed else "if there are several, write which: [0], [1], …"

    def _report(self, name: str, message: str, span: Span, hint: str | None) -> None:
        self.diagnostics.append(Diagnostic("FTC010", "error", message, FILE, span, name, hint))


@lru_cache(maxsize=4096)
def read_value(text: str) -> Source:
    """What stands after the equals sign, as YAML under the key `value`. Kept, as a sweep reads it for many points: to
    be copied before it is changed."""
    return parse(f"value: {text}", FILE)


def known_hint(data: dict[str, object], path: Path) -> str | None:
    """The path that was probably meant, where the language has none of this name."""
    from compiler.hints import closest  # only where something is wrong

    depth = next(depth for depth in range(len(path)) if not admitted(data, path[: depth + 1]))
    *above, wrong = path[: depth + 1]
    section = section_at(data, tuple(above))
    meant = closest(str(wrong), fields_of(section)) if section else None
    return f'did you mean "{dotted((*above, meant))}"?' if meant else None


def path_of(name: str) -> Path | None:
    """A dotted path in parts; None for what is none, or has parts that cannot be told apart."""
    return _path(name) if _PATH.fullmatch(name) else None


def _path(name: str) -> Path:
    return tuple(int(index) if index else key for index, key in _PART.findall(name))


def _paths(name: str, value: object) -> Iterator[str]:
    """The path of a value and of everything in it."""
    yield name
    if isinstance(value, dict):
        for key, inner in cast("dict[str, object]", value).items():
            yield from _paths(f"{name}.{key}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[object]", value)):
            yield from _paths(f"{name}[{index}]", inner)
