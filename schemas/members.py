"""What the types of the language admit at a leaf: its alternatives, and those in words."""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Final, Literal, Union, cast, get_args, get_origin

from msgspec import Struct

from schemas.section import Section

Form = Literal["mapping", "list", "value"]


class Member(Struct, frozen=True):
    """One alternative of a leaf's type, with the bounds that pydantic checks beside it."""

    type: object
    bounds: tuple[object, ...] = ()

    @property
    def section(self) -> type[Section] | None:
        """The section that stands here, if one does."""
        return self.type if isinstance(self.type, type) and issubclass(self.type, Section) else None

    @property
    def form(self) -> Form:
        """What it looks like in YAML."""
        if self.section or get_origin(self.type) is dict:
            return "mapping"
        return "list" if get_origin(self.type) is tuple else "value"

    @property
    def choices(self) -> tuple[object, ...]:
        """The values of a literal type."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def items(self) -> tuple[Member, ...]:
        """The alternatives for an item of a list."""
        return members(get_args(self.type)[0]) if self.form == "list" else ()


def members(annotation: object, bounds: tuple[object, ...] = ()) -> tuple[Member, ...]:
    """The alternatives of a type, unions flattened."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extras = get_args(annotation)
        more = [bound for extra in extras for bound in cast("list[object]", getattr(extra, "metadata", []))]
        return members(inner, (*bounds, *more))
    if origin in (Union, UnionType):
        return tuple(member for inner in get_args(annotation) for member in members(inner, bounds))
    return (Member(annotation, bounds),)


@cache
def fields_of(section: type[Section]) -> dict[str, tuple[Member, ...]]:
    """The keys of a section, as they are written, each with its alternatives."""
    return {
        info.alias or name: members(info.annotation, tuple(info.metadata))
        for name, info in section.model_fields.items()
    }


@cache
def required_of(section: type[Section]) -> frozenset[str]:
    """The keys of a section that have no default."""
    return frozenset(name for name, info in section.model_fields.items() if info.is_required())


def arms(found: tuple[Member, ...]) -> dict[str, type[Section]]:
    """The sections of a union told apart by `kind`: kind → section. Empty for other types."""
    named: dict[str, type[Section]] = {}
    for member in found:
        kind = fields_of(member.section).get("kind") if member.section else None
        if kind and member.section:
            named |= dict.fromkeys(cast("tuple[str, ...]", kind[0].choices), member.section)
    return named


_PATTERNS: Final = {
    "^[a-z0-9]": 'lower-case letters, digits, ".", "_" and "-", at most 64, beginning with a letter or digit',
    "^[0-9]+(": "a size such as 22GiB or 24GB",
}
_WORDS: Final[dict[object, str]] = {str: "text", NoneType: "null", object: "any value"}


def describe(found: tuple[Member, ...]) -> str:
    """The alternatives in words: `auto or an integer >= 1`."""
    words: list[str] = []
    for member in found:
        words += [word for word in _member_words(member) if word not in words]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _member_words(member: Member) -> list[str]:
    if member.choices:
        return [str(choice) for choice in member.choices]
    if member.type is bool:
        return ["true", "false"]
    if member.form != "value":
        return [_list_words(member) if member.form == "list" else _mapping_words(member)]
    return [_value_words(member)]


def _mapping_words(member: Member) -> str:
    if not member.section:
        return "a mapping"
    return "a source" if "path" in fields_of(member.section) else "a section"


def _value_words(member: Member) -> str:
    if member.type is int or member.type is float:
        return ("an integer" if member.type is int else "a number") + _range(member.bounds)
    pattern = next((str(getattr(bound, "pattern", "")) for bound in member.bounds), "")
    shaped = next((words for start, words in _PATTERNS.items() if pattern.startswith(start)), None)
    return shaped or _WORDS.get(member.type, "a value")


def _list_words(member: Member) -> str:
    arguments = get_args(member.type)
    if Ellipsis not in arguments:
        return f"a list of {len(arguments)} numbers{_range(members(arguments[0])[0].bounds)}"
    inner = member.items[0]
    if inner.section:
        return "a list of sources"
    return "a list of " + (describe(member.items) if inner.choices else "names")


def _range(bounds: tuple[object, ...]) -> str:
    """` >= 1`, ` in (0, 1)`, or nothing."""
    low = next((bound for bound in bounds if hasattr(bound, "gt") or hasattr(bound, "ge")), None)
    high = next((bound for bound in bounds if hasattr(bound, "lt") or hasattr(bound, "le")), None)
    least, most = getattr(low, "ge", getattr(low, "gt", None)), getattr(high, "le", getattr(high, "lt", None))
    if low and high:
        return f" in {'[' if hasattr(low, 'ge') else '('}{least}, {most}{']' if hasattr(high, 'le') else ')'}"
    return f" {'>=' if hasattr(low, 'ge') else '>'} {least}" if low else ""
