"""What a plan with some leaves set weighs, and whether its target takes it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from msgspec import Struct

from compiler.memory.fixes.change import Change, Harm, Ladder
from compiler.memory.fixes.changes import ladders
from compiler.memory.fixes.refusals import Refusals
from compiler.memory.fixes.setting import with_leaves
from compiler.memory.weighing import weigh
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan


class Trial(Struct, frozen=True):
    """A plan after some changes, and what it weighs."""

    changes: tuple[Change, ...]
    plan: Plan
    footprint: Footprint

    @property
    def fits(self) -> bool:
        """Whether it fits with its interval's upper end."""
        return self.footprint.verdict == "fits"

    @property
    def harm(self) -> Harm:
        """What the worst of the changes does to the result."""
        return max((change.harm for change in self.changes), default=Harm.NONE)

    @property
    def set(self) -> dict[str, object]:
        """Every leaf that the changes set."""
        return together(self.changes)


class Search:
    """Changes that can be made to one plan, and trials of them. `start`: the plan as it is."""

    def __init__(self, plan: Plan, stack: Stack) -> None:
        self.start = Trial((), plan, weigh(plan, stack))
        self.stack: Stack = stack
        self.refusals = Refusals(plan, stack)

    @cached_property
    def ladders(self) -> tuple[Ladder, ...]:
        """Every kind of change that there is room for and the target has a word for, the least harmful first."""
        found = ladders(self.start.plan, self.stack, self.start.footprint)
        taken = (tuple(change for change in ladder if self._takes(change)) for ladder in found)
        return tuple(sorted(filter(None, taken), key=lambda ladder: ladder[0].harm))

    def trial(self, changes: Sequence[Change]) -> Trial:
        """What the plan weighs after these changes."""
        changed = with_leaves(self.start.plan, together(changes))
        return Trial(tuple(changes), changed, weigh(changed, self.stack))

    def keeps(self, trial: Trial) -> bool:
        """Whether the target loses nothing more by the changes being made together."""
        return self.refusals.keeps(trial.plan)

    def answer(self, changes: Sequence[Change]) -> Trial | None:
        """The trial of these changes where it fits and the target takes it."""
        found = self.trial(changes)
        taken = found.fits and self.refusals.takes(found.plan) and self.keeps(found)
        return found if taken else None

    def _takes(self, change: Change) -> bool:
        return self.refusals.takes(with_leaves(self.start.plan, change.set))


def together(changes: Sequence[Change]) -> dict[str, object]:
    """Every leaf that the changes set."""
    return {path: value for change in changes for path, value in change.set.items()}
