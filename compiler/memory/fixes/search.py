"""What a plan with some leaves set weighs, and whether its target takes it."""

from __future__ import annotations

from collections.abc import Sequence

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
        return {path: value for change in self.changes for path, value in change.set.items()}


class Search:
    """Changes that can be made to one plan, and trials of them. `start`: the plan as it is."""

    def __init__(self, plan: Plan, stack: Stack) -> None:
        self.start = Trial((), plan, weigh(plan, stack))
        self.stack: Stack = stack
        self.refusals = Refusals(plan, stack)

    def ladders(self) -> tuple[Ladder, ...]:
        """Every kind of change that there is room for, those that harm least first."""
        found = ladders(self.start.plan, self.stack, self.start.footprint)
        return tuple(sorted(found, key=lambda ladder: ladder[0].harm))

    def trial(self, changes: Sequence[Change]) -> Trial:
        """What the plan weighs after these changes."""
        kept = tuple(changes)
        leaves = {path: value for change in kept for path, value in change.set.items()}
        changed = with_leaves(self.start.plan, leaves)
        return Trial(kept, changed, weigh(changed, self.stack))

    def allows(self, trial: Trial) -> bool:
        """Whether the target takes the changed plan as far as it takes the plan as it is."""
        return self.refusals.allows(trial.plan)

    def answer(self, changes: Sequence[Change]) -> Trial | None:
        """The trial of these changes where it fits and the target takes it."""
        found = self.trial(changes)
        return found if found.fits and self.allows(found) else None
