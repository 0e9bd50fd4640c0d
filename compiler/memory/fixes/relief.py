"""What would take memory off a plan that fits, should the run find less room than was planned for."""

from __future__ import annotations

from msgspec.structs import replace

from compiler.memory.fixes.change import Change, Harm, Ladder
from compiler.memory.fixes.changes import ladders
from compiler.memory.fixes.refusals import Refusals
from compiler.memory.fixes.search import Trial
from compiler.memory.fixes.setting import with_leaves
from compiler.memory.fixes.speed import slowness, speed_words
from compiler.memory.weighing import weigh
from schemas.footprint import Footprint, Relief
from schemas.plan import Plan

MOST = 3
WORTH = 0.95
"""Of what the plan weighs a change leaves so much at most."""


def relieved(footprint: Footprint, plan: Plan) -> Footprint:
    """With changes of which each alone saves memory: least harm to the result first, then what saves most.

    Every artifact has them, so no more are weighed than are said.
    """
    start, refusals, found = Trial((), plan, footprint), Refusals(plan, footprint.stack), list[Trial]()
    for ladder in sorted(ladders(plan, footprint.stack, footprint), key=_harm):
        if found and (len(found) >= MOST or _harm(ladder) > Harm.ROUNDED):
            break
        helps = next((trial for change in ladder if (trial := _trial(start, change, refusals))), None)
        found += [helps] if helps else []
    best = sorted(found, key=lambda trial: (trial.harm, trial.footprint.device))
    return replace(footprint, relief=tuple(_relief(start, trial) for trial in best))


def _harm(ladder: Ladder) -> Harm:
    return ladder[0].harm


def _trial(start: Trial, change: Change, refusals: Refusals) -> Trial | None:
    """The plan after a change, where it weighs less and the target takes it."""
    changed = with_leaves(start.plan, change.set)
    trial = Trial((change,), changed, weigh(changed, start.footprint.stack))
    less = trial.footprint.device <= WORTH * start.footprint.device
    return trial if less and refusals.takes(changed) and refusals.keeps(changed) else None


def _relief(start: Trial, trial: Trial) -> Relief:
    costs = (*(change.costs for change in trial.changes), speed_words(slowness(start, trial)))
    return Relief(trial.set, trial.footprint.device, "; ".join(costs))
