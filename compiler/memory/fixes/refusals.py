"""What the language or the target behind a stack would refuse of a changed plan that it takes as it is."""

from __future__ import annotations

from collections.abc import Iterator

from backends import TARGETS, load
from backends.base import pattern, refused
from compiler.memory.stacks import PLAIN
from schemas.footprint import Stack
from schemas.plan import Plan, leaves


class Refusals:
    """The refusals of one plan, to compare changed ones with: a leaf that was refused before is no news."""

    def __init__(self, plan: Plan, stack: Stack) -> None:
        self.stack: Stack = stack
        self.leaves = leaves(plan)
        self.lost = frozenset(_lost(plan, stack))

    def takes(self, changed: Plan) -> bool:
        """Whether the target has a word for every leaf that differs."""
        differing = {path: value for path, value in leaves(changed).items() if not self._had(path, value)}
        return not any(self._refuses(path, value) for path, value in differing.items())

    def keeps(self, changed: Plan) -> bool:
        """Whether no more is lost in combination than before."""
        return self.lost.issuperset(_lost(changed, self.stack))

    def _had(self, path: str, value: object) -> bool:
        return path in self.leaves and self.leaves[path] == value and type(self.leaves[path]) is type(value)

    def _refuses(self, path: str, value: object) -> bool:
        return _refused(self.stack, path, value) and not (
            path in self.leaves and _refused(self.stack, path, self.leaves[path])
        )


def _refused(stack: Stack, path: str, value: object) -> bool:
    if stack not in TARGETS:
        return value in PLAIN.get(path, ())
    return refused(load(stack).TABLE[pattern(path)], value) is not None


def _lost(plan: Plan, stack: Stack) -> Iterator[str]:
    """Paths that are lost in combination, in the language itself (two changes that suit alone) or in the target."""
    if plan.hardware.strategy == "zero3" and plan.quantization:
        yield "hardware.strategy"
    if stack in TARGETS:
        yield from (item.path for item in load(stack).losses(plan) if item.level == "error")
