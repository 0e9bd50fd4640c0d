"""Fills the leaves that only memory and speed can decide."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from compiler.memory.stacks import profile
from compiler.memory.verdict import capacity
from compiler.solve.reasons import reasons
from compiler.solve.search import Search
from compiler.solve.space import Barred, space
from schemas.artifact import Target
from schemas.footprint import Stack
from schemas.plan import Decision, Plan, leaf


def solve(
    plan: Plan,
    open_leaves: Mapping[str, str],
    target: Target | None,
    stack: Stack,
    barred: Barred = frozenset(),
) -> Plan:
    """Fill the open leaves: path → why their fallback stands there. Without a known capacity it stays, for that reason.

    `barred`: values that are not to be chosen, each with its path.
    """
    if not open_leaves:
        return plan
    if capacity(plan, profile(stack)) is None:
        return careful(plan, open_leaves)
    search = Search(plan, space(plan, frozenset(open_leaves), target, stack, barred), target, stack)
    found = search.run()
    return _noted(found.best.plan, reasons(search, found))


def careful(plan: Plan, open_leaves: Mapping[str, str]) -> Plan:
    """The plan with its fallbacks, which are decisions too."""
    return _noted(plan, [Decision(path, leaf(plan, path), why) for path, why in open_leaves.items()])


def _noted(plan: Plan, decisions: list[Decision]) -> Plan:
    return replace(plan, decisions=(*plan.decisions, *decisions))
