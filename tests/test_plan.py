"""The plan and the recipe are two lists of the same leaves."""

from __future__ import annotations

from leaf_patterns import leaf_patterns
from leaf_values import recipe_leaves

from backends.base import pattern

DERIVED = {"data.train[].local", "data.validation[].local"}
"""Whether a source is a file: seen from its path."""


def test_every_leaf_of_the_recipe_is_in_the_plan_and_nothing_else() -> None:
    written = {pattern(leaf.path) for leaf in recipe_leaves()}
    planned = set(leaf_patterns())
    sections = {path for path in planned if any(other.startswith((f"{path}.", f"{path}[")) for other in planned)}
    assert planned - DERIVED - (sections - written) == written
