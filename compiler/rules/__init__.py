"""Checks across leaves, which the shape of a recipe cannot say."""

from __future__ import annotations

from typing import Final

from compiler.check import touches
from compiler.rules import data, files, hardware, method, patterns, quantization, rows, training
from compiler.rules.context import Context, Rule
from schemas.diagnostic import Finding

__all__ = ["RULES", "Context", "Rule", "run_rules"]

RULES: Final = (
    *method.RULES,
    *patterns.RULES,
    *quantization.RULES,
    *data.RULES,
    *training.RULES,
    *hardware.RULES,
    *files.RULES,
    *rows.RULES,
)


def run_rules(context: Context) -> list[Finding]:
    """Everything that the rules have to say about a recipe, except what hangs on a broken leaf."""
    found: list[Finding] = []
    for rule in RULES:
        if context.broken and any(touches(path, context.broken) for path in rule.reads):
            continue
        found += rule.check(context)
    return [item for item in found if not touches(item.path, context.broken)] if context.broken else found
