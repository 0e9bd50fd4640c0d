"""Recipe → plan of a job: every leaf with its default, sources with their formats; an `auto` stays the provider's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from compiler.hosted.catalog import Hosted, providers
from compiler.resolve.sources import as_sources, planned
from schemas.hosted import HostedPlan
from schemas.method import HostedMethod
from schemas.plan import Decision
from schemas.recipe import Recipe, Source
from schemas.section import Section


def hosted_plan(recipe: Recipe, method: HostedMethod, found: Hosted, folder: Path) -> HostedPlan:
    """What the provider will be told, and of which rows."""
    decisions: list[Decision] = []

    def decide(path: str, value: object, because: str) -> object:
        decisions.append(Decision(path, value, because))
        return value

    validation = recipe.data.validation
    own = planned(validation, "data.validation", folder, decide) if isinstance(validation, Source | tuple) else None
    provider = providers()[found.provider]
    return HostedPlan(
        recipe=recipe,
        method=method,
        provider=found.provider,
        title=provider.title,
        model=found.name,
        about=found.about,
        limits=provider.limits,
        leaves=recipe_leaves(recipe),
        train=planned(recipe.data.train, "data.train", folder, decide),
        validation=own if own is not None else _share(validation),
        decisions=tuple(decisions),
    )


def _share(validation: object) -> float | int | None:
    return validation if isinstance(validation, int | float) else None


def recipe_leaves(recipe: Recipe) -> dict[str, object]:
    """Path → value of every leaf, sources numbered: `data.train[0].path`."""
    return dict(_walk("", recipe))


def _walk(place: str, section: Section) -> Iterator[tuple[str, object]]:
    for name, info in type(section).model_fields.items():
        path = f"{place}.{info.alias or name}" if place else info.alias or name
        value: object = getattr(section, name)
        if path in ("data.train", "data.validation") and isinstance(value, Source | tuple):
            for index, source in enumerate(as_sources(cast("Source | tuple[Source, ...]", value))):
                yield from _walk(f"{path}[{index}]", source)
        elif isinstance(value, Section):
            yield from _walk(path, value)
        else:
            yield path, value
