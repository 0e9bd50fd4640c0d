"""What would take memory off a plan that fits, should the run find less room than was planned for."""

from __future__ import annotations

from compiler.memory.fixes.search import Search, Trial
from compiler.memory.fixes.speed import slowness, speed_words
from schemas.footprint import Relief, Stack
from schemas.plan import Plan

MOST = 3
WORTH = 0.95
"""Of what the plan weighs a change leaves so much at most."""


def relief(plan: Plan, stack: Stack) -> tuple[Relief, ...]:
    """Changes of which each alone saves memory: least harm to the result first, then what saves most."""
    search = Search(plan, stack)
    enough, found = WORTH * search.start.footprint.device, list[Trial]()
    for ladder in search.ladders:
        if len(found) >= MOST and ladder[0].harm > max(trial.harm for trial in found):
            break  # all that harm less are known
        trials = (search.trial((change,)) for change in ladder)
        helps = next((trial for trial in trials if trial.footprint.device <= enough and search.keeps(trial)), None)
        found += [helps] if helps else []
    best = sorted(found, key=lambda trial: (trial.harm, trial.footprint.device))[:MOST]
    return tuple(_relief(search, trial) for trial in best)


def _relief(search: Search, trial: Trial) -> Relief:
    costs = (*(change.costs for change in trial.changes), speed_words(slowness(search.start, trial)))
    return Relief(trial.set, trial.footprint.device, "; ".join(costs))
