"""What of a plan decides about memory, and what of it is not as it was when a calibration was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import msgspec

from compiler.hardware import of_driver
from schemas.calibration import Calibration
from schemas.plan import Plan, leaves

DECISIVE: Final = (
    "model.dtype",
    "model.attention",
    "method.",
    "data.max_length",
    "data.packing",
    "training.objective",
    "training.micro_batch_size",
    "training.optimizer",
    "training.gradient_checkpointing",
    "training.loss",
    "training.compile",
    "training.kernels",
    "training.neftune_alpha",
    "hardware.count",
    "hardware.strategy",
    "hardware.nodes",
    "hardware.offload",
)
"""Leaves, and sections that end in a dot, on which memory depends. Accumulation and evaluation beside them."""
UNTOUCHED: Final = ("method.alpha", "method.rslora", "method.lora_plus_ratio")
"""Leaves of such a section on which it does not."""
ONLY: Final[dict[str, object]] = {"hardware.nodes": 1, "hardware.offload": "none"}
"""What a native run can do alone, and so leaves out of its plan."""
SIZES: Final = frozenset(
    {
        "data.max_length",
        "training.micro_batch_size",
        "method.rank",
        "evaluation.batch_size",
        "accumulation",
        "evaluation",
    }
)
"""Differences over which a correction holds: the same operators on tensors of other sizes."""
ROWS: Final = ("training.global_batch_size", "training.micro_batch_size", "hardware.count")
"""What accumulation follows from."""
NOMINAL: Final = 1.02
"""A card's nominal memory, by which it is looked up, over what the driver gives to programs; at least."""


def differences(plan: Plan, calibration: Calibration) -> tuple[str, ...]:
    """What decides about memory and is not as it was measured, by path; `hardware.gpu` where the card is another."""
    as_written = cast(dict[str, object], msgspec.json.decode(msgspec.json.encode(leaves(plan))))
    own = _decisive(as_written, plan.accumulation > 1)
    recorded = {**ONLY, **_flat(calibration.settings)}
    theirs = _decisive(recorded, _accumulated(recorded))
    paths = [path for path in {**own, **theirs} if own.get(path) != theirs.get(path)]
    card = of_driver(calibration.device.name, int(calibration.device.total * NOMINAL))
    other = calibration.device.kind == "cuda" and (plan.gpu is None or card is None or card.name != plan.gpu.name)
    return tuple(sorted([*paths, *(("hardware.gpu",) if other else ())]))


def unsaid(calibration: Calibration) -> tuple[str, ...]:
    """What every plan says in whole numbers, and the settings of a calibration do not."""
    recorded = _flat(calibration.settings)
    return tuple(path for path in ROWS if not isinstance(recorded.get(path), int))


def _decisive(values: Mapping[str, object], accumulates: bool) -> dict[str, object]:
    """The values that memory depends on; of accumulation and evaluation no more than whether there is any."""
    kept = {
        path: value
        for path, value in values.items()
        if value is not None and path not in UNTOUCHED and any(_under(path, name) for name in DECISIVE)
    }
    evaluates = values.get("evaluation.every") is not None and any(
        value is not None and _under(path, "data.validation") for path, value in values.items()
    )
    size = {"evaluation.batch_size": values.get("evaluation.batch_size")} if evaluates else {}
    return {**kept, **size, "accumulation": accumulates, "evaluation": evaluates}


def _under(path: str, name: str) -> bool:
    return path == name or path.startswith((name if name.endswith(".") else f"{name}.", f"{name}["))


def _accumulated(recorded: Mapping[str, object]) -> bool:
    rows, micro, count = (cast(int, recorded[path]) for path in ROWS)
    return rows > micro * count


def _flat(sections: Mapping[str, object], path: str = "") -> dict[str, object]:
    """Nested sections as leaves by path; lists are leaves."""
    found: dict[str, object] = {}
    for name, value in sections.items():
        here = f"{path}{name}"
        found |= _flat(cast(dict[str, object], value), f"{here}.") if isinstance(value, dict) else {here: value}
    return found
