"""The formula against our own readings, `bench/results/`: a change that worsens it is seen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends import load
from bench.gpu.cases import LLAMA_8B, Changes, planned
from bench.memory_results import FOLDER, Measured, measured
from compiler.memory import weigh
from schemas.facts import GIB

load("native")
READINGS = tuple(measured(traced=False))
SPEED: Any = json.loads((FOLDER / "h100.speed.json").read_text("utf-8"))["rows"]
KERNELS: dict[str, tuple[Changes, float]] = {
    "native": ({}, 0.001),
    "native+liger": ({"training.kernels": "liger"}, 0.001),
    "native+compile": ({"training.compile": True}, 0.01),
}
"""Changes of the run whose speed was measured, and how far off the formula may be."""


@pytest.mark.parametrize("found", READINGS, ids=[found.title for found in READINGS])
def test_what_the_driver_read_lies_in_the_interval(found: Measured) -> None:
    assert found.formula.low <= found.calibration.phases.device <= found.formula.high


@pytest.mark.parametrize("step", KERNELS)
def test_kernels_and_the_compiler_keep_what_was_read(step: str) -> None:
    changes, within = KERNELS[step]
    plan, _ = planned(LLAMA_8B, "lora", {**changes, "training.global_batch_size": 8}, "h100")
    read = {row["allocated_gib"] for row in SPEED if (row["case"], row["step"]) == ("8b-lora", step)}
    assert weigh(plan, "native").allocated / GIB == pytest.approx(sum(read), rel=within)
