"""What the points of a sweep share: facts of the base, and what was solved and weighed for a plan that differs in
nothing that memory or speed hang on.

The steps and their order are the pipeline's own (compiler/build.py); here their answers are kept, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, cast

from msgspec import Struct
from msgspec.structs import replace

from compiler.build import STEPS, Steps
from schemas.footprint import Footprint
from schemas.method_plan import LoraPlan
from schemas.plan import Plan

NEUTRAL: Final[dict[str, dict[str, object]]] = {
    "training": {
        "learning_rate": 0.0,
        "scheduler": "constant",
        "min_lr_ratio": 0.0,
        "warmup": 0,
        "weight_decay": 0.0,
        "betas": None,
        "epsilon": None,
        "max_grad_norm": 0.0,
        "seed": 0,
        "epochs": None,
        "max_steps": 1,
    },
    "data": {"system": None, "shuffle": False},
    "checkpoint": {"every": None, "keep": 0, "resume": ""},
    "logging": {"every": 1, "to": (), "project": ""},
    "output": {"dir": ""},
}
"""Leaves that neither the solver nor the memory engine looks at, each with what stands there while they work. A test
holds every one of them against the whole pipeline."""


class Shared:
    """Keeps answers as long as it lives; to be used for one recipe."""

    def __init__(self, steps: Steps = STEPS) -> None:
        self._steps = steps
        self._found: dict[Hashable, Any] = {}
        self._solutions: dict[Hashable, _Solution] = {}
        self._footprints: dict[Hashable, Footprint] = {}

    @property
    def steps(self) -> Steps:
        """The pipeline's steps, their answers kept."""
        return Steps(self._find_model, self._solve, self._weigh)

    def _find_model(self, *asked: Any, **named: Any) -> Any:
        key = (*asked, *named.items())
        if key not in self._found:
            self._found[key] = self._steps.find_model(*asked, **named)
        return self._found[key]

    def _solve(self, plan: Plan, *more: Any) -> Plan:
        plain = neutral(plan)
        key = (_key(plain), *map(_frozen, more))
        solution = self._solutions.get(key)
        if solution is None:
            solution = self._solutions[key] = _difference(plain, self._steps.solve(plain, *more))
        return solution.applied(plan)

    def _weigh(self, plan: Plan, *more: Any) -> Footprint:
        plain = neutral(plan)
        key = (_key(plain), *map(_frozen, more))
        if key not in self._footprints:
            self._footprints[key] = self._steps.weigh(plain, *more)
        return self._footprints[key]


class _Solution(Struct, frozen=True):
    """What a solver made of a plan. `kept`: the facts whose address is part of the key, so that no other gets it."""

    changes: dict[str, dict[str, object]]
    decisions: tuple[Any, ...]
    kept: object

    def applied(self, plan: Plan) -> Plan:
        """The same of another plan that differs in neutral leaves."""
        sections = {name: _with(getattr(plan, name), changes) for name, changes in self.changes.items()}
        return replace(plan, **sections, decisions=(*plan.decisions, *self.decisions))


def neutral(plan: Plan) -> Plan:
    """The plan with one value in all leaves that memory and speed do not hang on, and with no reasons yet."""
    sections = {name: _with(getattr(plan, name), values) for name, values in NEUTRAL.items()}
    method = replace(plan.method, alpha=1) if isinstance(plan.method, LoraPlan) else plan.method
    return replace(plan, name="", method=method, decisions=(), **sections)


def _key(plan: Plan) -> Hashable:
    """A plan by its leaves and its card. Raw keys are no constants, and are told by their text; a model by its facts'
    address."""
    leaves = (plan.model, plan.method, plan.data, plan.training, plan.evaluation, plan.checkpoint, plan.output)
    return (*leaves, plan.hardware, plan.gpu and plan.gpu.name, repr(plan.targets), id(plan.facts))


def _frozen(told: Any) -> Hashable:
    """What a step is told beside the plan, as a key can hold it; in its order, as reasons may follow that."""
    return tuple(cast("dict[str, Hashable]", told).items()) if isinstance(told, dict) else cast("Hashable", told)


def _difference(before: Plan, after: Plan) -> _Solution:
    changes: dict[str, dict[str, object]] = {}
    for name in before.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if name != "decisions" and old is not new:
            changes[name] = _changed(old, new)
    return _Solution(changes, after.decisions, before.facts)


def _changed(old: Struct, new: Struct) -> dict[str, object]:
    return {name: getattr(new, name) for name in old.__struct_fields__ if getattr(old, name) is not getattr(new, name)}


def _with(section: Any, values: dict[str, object]) -> Any:
    return cast("Callable[..., Any]", replace)(section, **values)
