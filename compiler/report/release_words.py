"""What a model's maker says of it, in words and for programs."""

from __future__ import annotations

from typing import Final

from compiler.model_releases import Commercial, Release
from compiler.report.machine import as_data
from schemas.facts import ModelFacts

CONDITIONS: Final[dict[Commercial | None, str]] = {
    "allowed": "",
    "restricted": ", on conditions",
    "no": ", not commercial",
    None: ", terms not read",
}


def licence_words(release: Release | None) -> str:
    """Its id, and whether commercial use is free."""
    if release is None or release.licence is None:
        return "-"
    return f"{release.licence}{CONDITIONS[release.commercial]}"


def release_data(release: Release | None) -> dict[str, object]:
    """Each fact with where it was read."""
    facts = ("maker", "licence", "commercial", "terms", "languages", "listed", "released", "tuned", "sources")
    return {name: as_data(getattr(release, name)) if release else None for name in facts}


def listed_data(facts: ModelFacts, release: Release | None) -> dict[str, object]:
    """A model of the catalog: its shapes, and what its maker says."""
    shapes = {name: as_data(getattr(facts, name)) for name in facts.__struct_fields__}
    return {**shapes, "release": release_data(release) if release else None}
