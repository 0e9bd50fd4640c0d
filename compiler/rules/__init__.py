"""Checks across leaves, which the shape of a recipe cannot say."""

from __future__ import annotations

from compiler.rules.context import Context, Rule
from schemas.diagnostic import Finding

__all__ = ["RULES", "Context", "Rule", "run_rules"]

RULES: tuple[Rule, ...] = ()


def run_rules(context: Context) -> list[Finding]:
    """Everything that the rules have to say about a recipe."""
    return [finding for rule in RULES for finding in rule.check(context)]
