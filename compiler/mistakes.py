"""Pydantic's errors → one mistake for each place that is wrong, at the path that the user wrote.

Pydantic puts union tags and the names of union members into `loc`, and reports every member of a union that did not
match; and it reports a list as too short when its items were wrong. All this is taken out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Final, Literal, TypedDict, cast

from msgspec import Struct
from pydantic import ValidationError

from compiler import hints
from compiler.shape import (
    ROOT,
    Form,
    Member,
    admitted,
    arms,
    at,
    describe,
    fields_of,
    form_of,
    kinds_with,
    required_of,
    section_at,
)
from schemas.diagnostic import Finding, Path, dotted

Kind = Literal["missing", "unknown", "value", "empty"]

SHOWN: Final = 40
"""Characters of a wrong value that a message repeats."""


class _Error(TypedDict):
    type: str
    loc: Path
    input: object
    ctx: Mapping[str, object]


class Mistake(Struct, frozen=True):
    """Something wrong with the shape of the recipe. `empty`: a section with nothing under it, which is allowed."""

    path: Path
    kind: Kind


def mistakes_of(error: ValidationError, data: object, most: int) -> list[Mistake]:
    """The first `most` places, each once, in pydantic's order."""
    found: dict[Path, Kind] = {}
    for item in cast("list[_Error]", error.errors(include_url=False)):
        if len(found) >= most:
            break
        path = _real_path(item["loc"], data)
        if path is None or _spurious(item):
            continue
        path, kind = _kind(item, path, data)
        found.setdefault(path, kind)
    return [Mistake(path, kind) for path, kind in found.items()]


def _kind(item: _Error, path: Path, data: object) -> tuple[Path, Kind]:
    if item["type"] == "missing":
        *above, last = path
        return (tuple(above), "value") if isinstance(last, int) else (path, "missing")
    if item["type"] == "extra_forbidden":
        return path, "unknown"
    if item["type"] == "union_tag_invalid":
        return (*path, "kind"), "value"
    if item["type"] == "union_tag_not_found":
        inner = at(data, (*path, "kind"))
        return (*path, "kind"), "missing" if inner is None else "value"
    if item["input"] is None:
        return path, _empty_kind(path, data)
    return path, "value"


def _empty_kind(path: Path, data: object) -> Kind:
    """What a key with nothing after it is: a section with all its defaults, a required leaf left out, or a mistake."""
    found = admitted(data, path)
    if any(member.form == "mapping" for member in found) and not any(member.form == "list" for member in found):
        return "empty"
    *above, key = path
    section = section_at(data, tuple(above))
    return "missing" if section and key in required_of(section) else "value"


def _spurious(item: _Error) -> bool:
    """Pydantic says of a list whose items are wrong that it is too short."""
    items = item["input"]
    return (
        item["type"] == "too_short"
        and isinstance(items, list)
        and len(cast("list[object]", items)) >= cast("int", item["ctx"]["min_length"])
    )


def _real_path(loc: Path, data: object) -> Path | None:
    """The path in the data, without tags and member names. None: of a union member that was not meant."""
    path: list[str | int] = []
    found = ROOT
    for part in loc:
        found = tuple(member for member in found if member.type is not NoneType)
        if len(found) > 1:
            value = at(data, tuple(path))
            chosen = _chosen(str(part), found)
            form = form_of(value)
            if chosen and chosen[0].form != form and any(member.form == form for member in found):
                return None
            found = chosen
            continue
        path.append(part)
        found = _inside(part, found)
    return tuple(path)


def _chosen(label: str, found: tuple[Member, ...]) -> tuple[Member, ...]:
    """The member of a union that pydantic means by a label: a kind, a class name, `tuple[…]`, or a plain type."""
    named = arms(found)
    if label in named:
        return (Member(named[label]),)
    by_class = tuple(member for member in found if member.section and member.section.__name__ == label)
    if by_class:
        return by_class
    form: Form = "list" if label.startswith("tuple[") else "value"
    return tuple(member for member in found if member.form == form)[:1]


def _inside(part: str | int, found: tuple[Member, ...]) -> tuple[Member, ...]:
    if not found:
        return ()
    if isinstance(part, int):
        return found[0].items
    section = found[0].section
    return fields_of(section).get(part, ()) if section else ()


def finding_of(mistake: Mistake, data: object) -> tuple[Finding, str | None]:
    """What to tell the user, and the path of the leaf that was probably meant by an unknown key."""
    if mistake.kind == "missing":
        return _missing(mistake.path, data), None
    if mistake.kind == "unknown":
        return _unknown(mistake.path, data)
    return _wrong_value(mistake.path, data), None


def _missing(path: Path, data: object) -> Finding:
    found = admitted(data, path)
    *above, key = path
    choices = describe(found) if any(member.choices for member in found) else ""
    if path == ("method", "kind"):
        choices = ", ".join(_kinds())
    where = f" in {dotted(tuple(above))}" if above else ""
    hint = f"one of {choices}" if " " in choices else f"write `{key}: {choices}`" if choices else None
    return Finding("FTC101", dotted(path), f'"{key}" is required{where}', hint, at="key")


def _unknown(path: Path, data: object) -> tuple[Finding, str | None]:
    key, section = str(path[-1]), dotted(path[:-1])
    kinds = kinds_with(key) if path[:-1] == ("method",) else ()
    if kinds:
        own = at(data, ("method", "kind"))
        message = f"{key} is not a leaf of {own}, but of {', '.join(kinds)}"
        hint = f"remove it, or choose another kind than {own}"
        return Finding("FTC104", dotted(path), message, hint, at="key"), None
    found = section_at(data, path[:-1])
    hint, meant = hints.for_unknown_key(key, section, fields_of(found) if found else ())
    message = f'unknown key "{shown(key)}"' + (f" in {section}" if section else "")
    return Finding("FTC102", dotted(path), message, hint, at="key"), meant


def _wrong_value(path: Path, data: object) -> Finding:
    value = at(data, path)
    if path == ("method", "kind"):
        meant = hints.for_value(value, (Member(Literal[_kinds()]),))
        return Finding(
            "FTC103", dotted(path), f"unknown method {quoted(value)}", meant or f"known: {', '.join(_kinds())}"
        )
    found = admitted(data, path)
    message = f"expected {describe(found)}, found {quoted(value)}"
    return Finding("FTC103", dotted(path), message, hints.for_value(value, found))


def _kinds() -> tuple[str, ...]:
    return tuple(arms(admitted({}, ("method",))))


def quoted(value: object) -> str:
    """A value as a message repeats it: text in quotes, numbers and words as in YAML."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(cast('list[object]', value))}" if value else "an empty list"
    return f'"{shown(value)}"' if isinstance(value, str) else shown(repr(value))


def shown(text: str) -> str:
    """Text cut to what a message can carry, line breaks shown as such."""
    flat = text.replace("\\", "\\\\").replace("\n", "\\n") if "\n" in text else text
    return flat if len(flat) <= SHOWN else f"{flat[: SHOWN - 1]}…"
