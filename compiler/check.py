"""Plain data → `Recipe`, or everything that is wrong with its shape, each mistake once.

Where something is wrong, the recipe is repaired (broken leaves take their default), so that the rules and the target
can still speak about the rest; `broken` says which leaves they must be silent about.
"""

from __future__ import annotations

from typing import Final, cast

from msgspec import Struct
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from compiler.source import Source
from schemas.diagnostic import Finding
from schemas.lora import QUANTISED
from schemas.method import LoraMethod
from schemas.recipe import Recipe
from schemas.section import Section

MOST: Final = 100
"""Mistakes that are reported; a text with more is no recipe that someone wants to mend line by line."""

_PASSES: Final = 12
"""A repair can bring further mistakes to light, as inside a method whose kind was misspelt."""


class Checked(Struct, frozen=True):
    """`recipe`: as written or repaired; None where there is nothing to read. Paths are dotted.

    `broken`: leaves that are not as the user meant them. `written`: all that the user wrote, sections too.
    """

    recipe: Recipe | None
    broken: frozenset[str]
    written: frozenset[str]
    findings: tuple[Finding, ...]

    def touches(self, path: str) -> bool:
        """Whether what stands at this path hangs on a broken leaf."""
        return touches(path, self.broken)


def touches(path: str, broken: frozenset[str]) -> bool:
    """Whether one of the broken paths is this path, above it or below it."""
    return any(path == item or _below(path, item) or _below(item, path) for item in broken)


def check(source: Source) -> Checked:
    """Read plain data as a recipe."""
    if source.data is None:
        return Checked(None, source.broken, frozenset(), ())
    try:
        recipe = Recipe.model_validate(_with_sections(source.data, Recipe))
    except ValidationError as error:
        return _repaired(source, error)
    return Checked(recipe, source.broken, source.written, _quantization_without_q(recipe))


def _with_sections(data: dict[str, object], section: type[Section]) -> dict[str, object]:
    """Sections that are empty or left out, written as empty mappings.

    pydantic then reads them as part of the whole; their default factories would compile each section's schema apart.
    """
    filled = dict(data)
    for name, info in section.model_fields.items():
        inner, value = _section(info), filled.get(name)
        if inner and isinstance(value, dict):
            filled[name] = _with_sections(cast("dict[str, object]", value), inner)
        elif inner and value is None and not info.is_required():
            filled[name] = _with_sections({}, inner)
    return filled


def _section(info: FieldInfo) -> type[Section] | None:
    """The section that stands in this field, whatever the recipe says."""
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _below(path: str, other: str) -> bool:
    return other != "" and path.startswith(other) and path[len(other) : len(other) + 1] in (".", "[")


def _quantization_without_q(recipe: Recipe) -> tuple[Finding, ...]:
    """`quantization` is a leaf of the same section as lora's, and so the schema lets it stand there."""
    method = recipe.method
    if not isinstance(method, LoraMethod) or method.quantization is None or method.kind in QUANTISED:
        return ()
    message = f"quantization is not a leaf of {method.kind}, but of {', '.join(QUANTISED)}"
    return (Finding("FTC104", "method.quantization", message, f"write `kind: q{method.kind}`, or remove it", at="key"),)


def _repaired(source: Source, error: ValidationError) -> Checked:
    from compiler.repair import Repair  # only where something is wrong

    repair = Repair(source, MOST)
    for _ in range(_PASSES):
        repair.apply(error)
        if len(repair.findings) >= MOST:
            break
        try:
            recipe = Recipe.model_validate(repair.data)
        except ValidationError as more:
            error = more
            continue
        findings = (*repair.findings, *_quantization_without_q(recipe))
        return Checked(recipe, frozenset(repair.broken), source.written, findings)
    return Checked(None, frozenset(repair.broken), source.written, tuple(repair.findings))
