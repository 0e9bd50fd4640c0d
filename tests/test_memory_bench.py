"""The bench that judges the memory engine: what it draws, how it sums up, what it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from plans import A100_80, a_plan

from bench.memory_cases import FAMILIES, draw, plan_of
from bench.memory_compare import CLASSES, Compared
from bench.memory_errors import errors
from bench.memory_judge import reading
from bench.memory_results import measured
from compiler.lock import plan_data
from compiler.memory import weigh
from compiler.memory.measured_plan import differences
from schemas.calibration import Calibration, Predicted, Readings
from schemas.calibration import Measured as Where
from schemas.calibration import Reading as Read
from schemas.facts import GIB
from schemas.plan import Plan


def test_a_seed_always_gives_the_same_cases_and_another_seed_others() -> None:
    assert draw(5, 40) == draw(5, 60)[:40]
    assert not set(draw(5, 40)) & set(draw(6, 40))


def test_every_case_is_a_plan_that_can_be_weighed() -> None:
    for case in draw(3, 60):
        assert weigh(plan_of(case), case.stack).allocated > 0


def test_200_cases_have_some_of_every_class() -> None:
    cases = draw(1, 200)
    weighed = [weigh(plan_of(case), case.stack) for case in cases]
    found = [Compared(case, each, each, 0.0, 0.0) for case, each in zip(cases, weighed, strict=True)]
    counts = {name: sum(map(belongs, found)) for name, belongs in CLASSES.items() if "confidence" not in name}
    assert {name: count for name, count in counts.items() if count < 5} == {}
    assert {case.family for case in cases} == set(FAMILIES)


@given(st.lists(st.floats(-0.5, 0.5), min_size=1))
def test_errors_are_ordered_and_bounded(found: list[float]) -> None:
    summed = errors(found)
    assert summed is not None
    assert 0 <= summed.middle <= summed.p95 <= max(map(abs, found))
    assert summed.below <= 0 <= summed.over
    assert summed.under == sum(error < 0 for error in found) / len(found)


def test_no_errors_are_no_summary() -> None:
    assert errors([]) is None


def test_the_interval_of_reserved_memory_leaves_the_context_out() -> None:
    footprint = weigh(a_plan(), "peft")
    reserved, device = (reading("row", kind, GIB, footprint, None) for kind in ("reserved", "device"))
    outside = device.predicted["formula"].high - reserved.predicted["formula"].high
    assert outside == footprint.parts.context


def a_calibration(plan: Plan) -> Calibration:
    """What `ftc run --measure` would have written for this plan."""
    sections: Any = {
        name: section
        for name, section in msgspec.to_builtins(plan_data(plan)).items()
        if name in ("model", "method", "data", "training", "evaluation", "hardware")
    }
    sections["hardware"] = {name: sections["hardware"][name] for name in ("count", "strategy")}
    size = Read(30 * GIB, 32 * GIB, 33 * GIB)
    return Calibration(
        format_version=1,
        date="2026-12-01T00:00:00Z",
        plan="0" * 64,
        stack="native",
        settings=sections,
        random_weights=True,
        versions={"torch": "2.13.0"},
        device=Where("cuda", "NVIDIA A100-SXM4-80GB", A100_80.memory, 0, "torch and the driver"),
        predicted=Predicted("native", GIB, GIB, GIB),
        phases=Readings(size, size, size, size, None),
    )


def test_a_line_of_our_own_readings_is_weighed_as_the_plan_that_was_measured(tmp_path: Path) -> None:
    for method in ("full", "lora", "qlora"):
        plan = a_plan("Qwen/Qwen2.5-0.5B", method, micro=4, accumulation=2, length=1024, loss="chunked")
        line = msgspec.json.encode(a_calibration(plan))
        (tmp_path / "a100-80gb.jsonl").write_bytes(line + b"\n")
        (item,) = measured(tmp_path, traced=False)
        assert differences(item.plan, item.calibration) == ()
        assert item.plan.gpu is not None and item.plan.gpu.name == "a100-80gb"
        assert item.formula.allocated == weigh(plan, "native").allocated
