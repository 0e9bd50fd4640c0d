"""Sources of rows, with their formats: as a recipe names them, made plain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from compiler.data.files import expand, is_local
from compiler.data.recognise import first_rows
from compiler.resolve.ground import absolute
from schemas.plan import SourcePlan
from schemas.recipe import DataFormat, Source

Decide = Callable[[str, Any, str], Any]
"""Notes what an `auto` became, and why."""


def as_sources(sources: Source | tuple[Source, ...]) -> tuple[Source, ...]:
    """One source or several, as several."""
    return sources if isinstance(sources, tuple) else (sources,)


def planned(sources: Source | tuple[Source, ...], path: str, folder: Path, decide: Decide) -> tuple[SourcePlan, ...]:
    """The sources that stand at a path of the recipe."""
    return tuple(_source(item, f"{path}[{index}]", folder, decide) for index, item in enumerate(as_sources(sources)))


def _source(source: Source, path: str, folder: Path, decide: Decide) -> SourcePlan:
    local = is_local(source.path)
    kind, because = _format(source, folder)
    if because:
        decide(f"{path}.format", kind, because)
    return SourcePlan(
        path=absolute(source.path, folder) if local else source.path,
        local=local,
        format=kind,
        split=source.split,
        subset=source.subset,
        revision=source.revision,
        weight=source.weight,
        limit=source.limit,
        fields=source.fields,
    )


def _format(source: Source, folder: Path) -> tuple[DataFormat, str | None]:
    if source.format != "auto":
        return source.format, None
    files = expand(source.path, folder) if is_local(source.path) else ()
    found = next(((file, row) for file, row in first_rows(files, source.fields) if not row.empty), None)
    if found and found[1].format:
        return found[1].format, f"the first row of {found[0].name} shows {found[1].evidence}"
    return "messages", "nothing was there to look at"
