"""Our own readings, `bench/results/*.jsonl`: each line a `calibration.json`, as a plan to weigh anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bench.memory_cases import BENCH
from bench.memory_plans import CPU, a_plan, card, facts
from compiler.hardware import of_driver
from compiler.memory import weigh
from compiler.trace.exact import weigh_exact
from compiler.trace.untraceable import UntraceableError
from schemas.calibration import Calibration
from schemas.facts import Gpu
from schemas.footprint import Footprint, Stack
from schemas.method_plan import MethodPlan
from schemas.plan import Plan

FOLDER: Final = BENCH / "results"
SECTIONS: Final = ("model", "training", "evaluation", "hardware")
"""Sections of the plan that are taken over whole. Of the data only what decides a batch's shape is."""

NOMINAL: Final = 1.02
"""A card's nominal memory, by which it is looked up, over what the driver gives to programs; at least."""


class Measured(Struct, frozen=True):
    """One line: where it is from, what was read, and today's answers. `trace` is None where the run has none."""

    file: str
    calibration: Calibration
    plan: Plan
    formula: Footprint
    trace: Footprint | None

    @property
    def title(self) -> str:
        """The run in words."""
        plan = self.plan
        model, rows = plan.facts.name, plan.training.micro_batch_size
        return f"{model} {plan.method.kind} {self.calibration.stack}, {rows} x {plan.data.max_length}"


def measured(folder: Path = FOLDER, *, traced: bool = True) -> Iterator[Measured]:
    """Every line of every file."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            calibration = msgspec.json.decode(line, type=Calibration)
            plan = plan_of(calibration)
            stack = calibration.stack
            yield Measured(path.name, calibration, plan, weigh(plan, stack), _trace(plan, stack) if traced else None)


def _trace(plan: Plan, stack: Stack) -> Footprint | None:
    """As `ftc plan --exact` does it, kept in the user's cache."""
    try:
        return weigh_exact(plan, stack, print)
    except UntraceableError:
        return None


def plan_of(calibration: Calibration) -> Plan:
    """The plan that was measured, for a model of the catalog. `msgspec.ValidationError` where its settings are none."""
    settings = calibration.settings
    model: Any = settings["model"]["base"]
    method: MethodPlan = msgspec.convert(settings["method"], type=_kind_of(settings["method"]))
    plan = replace(a_plan(model, method, gpu=_card(calibration)), facts=facts(model))
    sections = {name: _merged(getattr(plan, name), settings.get(name, {})) for name in SECTIONS}
    data: Any = settings["data"]
    shape = {"max_length": data["max_length"], "packing": data["packing"]}
    held_out = 0.1 if data.get("validation") else None
    return replace(plan, **sections, data=replace(plan.data, validation=held_out, **shape))


def _merged(section: Any, said: dict[str, object]) -> Any:
    kind: Any = section.__class__
    return msgspec.convert(_over(msgspec.to_builtins(section), said), type=kind)


def _over(whole: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """What was said, and what was not as it is; in the sections inside too."""
    both = {name: (whole.get(name), value) for name, value in said.items()}
    inner = {
        name: _over(had, value) if isinstance(had, dict) and isinstance(value, dict) else value
        for name, (had, value) in both.items()
    }
    return {**whole, **inner}


def _kind_of(method: dict[str, object]) -> Any:
    """The class of plan that has this kind of method."""
    options: tuple[Any, ...] = get_args(MethodPlan)
    return next(option for option in options if method["kind"] in get_args(get_type_hints(option)["kind"]))


def _card(calibration: Calibration) -> Gpu:
    where = calibration.device
    if where.kind == "cpu":
        return replace(CPU, memory=where.total)
    return of_driver(where.name, int(where.total * NOMINAL)) or card(where.total / 2**30, name=where.name)
