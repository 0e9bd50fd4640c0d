"""What `auto` promises, whatever the plan: it fits where anything does, and nothing that fits is faster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from plans import A100_40, A100_80, a_plan, card

from backends import TARGETS
from compiler.build import Options, compile_recipe
from compiler.hardware import find_gpu
from compiler.memory import weigh
from compiler.solve import solve
from compiler.solve.search import SAME
from compiler.solve.space import (
    ADAPTERS,
    ATTENTION,
    AXES,
    CHECKPOINTING,
    EVALUATION,
    KERNELS,
    LOSS,
    MICRO,
    OPTIMIZER,
    ROUNDING,
    STRATEGY,
    lost,
    space,
    with_setting,
)
from compiler.throughput import pace
from schemas.artifact import Target
from schemas.facts import Gpu
from schemas.plan import Plan, leaf, leaves

OPEN = (ATTENTION, MICRO, CHECKPOINTING, LOSS, KERNELS, ADAPTERS, OPTIMIZER, STRATEGY, EVALUATION)
MODELS = ("meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-0.5B", "google/gemma-2-9b", "mistralai/Mixtral-8x7B-v0.1")
T4 = card(14.6, capability=7.5, bf16=None, name="t4")
CARDS = (card(8.0), card(22.0, capability=8.9), A100_40, A100_80, T4)
RECIPES = Path(__file__).parents[1] / "recipes"


class Case(Struct, frozen=True):
    plan: Plan
    open: tuple[str, ...]
    target: Target

    @property
    def solved(self) -> Plan:
        return solve(self.plan, dict.fromkeys(self.open, "fallback"), self.target, self.target)


def a_case(  # noqa: PLR0917 - Hypothesis names them
    model: str,
    kind: str,
    rows: int,
    length: int,
    packing: bool,
    gpu: Gpu,
    cards: int,
    left: frozenset[str],
    target: Target,
) -> Case:
    dtype = "bfloat16" if gpu.has_bf16 else "float16"
    plan = a_plan(
        model,
        kind,
        accumulation=rows,
        length=length,
        packing=packing,
        gpu=gpu,
        dtype=dtype,
        validation=0.05,
        count=cards,
        strategy="ddp" if cards > 1 else "single",
    )
    held = {ADAPTERS} if plan.lora is None else set()
    held |= {STRATEGY} if cards == 1 else set()
    return Case(plan, tuple(path for path in OPEN if path in left and path not in held), target)


def cases() -> st.SearchStrategy[Case]:
    return st.builds(
        a_case,
        model=st.sampled_from(MODELS),
        kind=st.sampled_from(("full", "lora", "qlora", "dora")),
        rows=st.sampled_from((1, 4, 6)),
        length=st.sampled_from((512, 2048, 8192)),
        packing=st.booleans(),
        gpu=st.sampled_from(CARDS),
        cards=st.sampled_from((1, 1, 8)),
        left=st.frozensets(st.sampled_from(OPEN), min_size=1),
        target=st.sampled_from(TARGETS),
    )


def everything(case: Case) -> list[Plan]:
    """Every plan of the space, one by one, without any thought of order."""
    within = space(case.plan, frozenset(case.open), case.target, case.target, frozenset())
    found: list[Plan] = []
    for setting, micro in product((item for group in within.settings for item in group), within.micros):
        plan = with_setting(case.plan, setting)
        plan = replace(plan, training=replace(plan.training, micro_batch_size=micro))
        sizes = range(1, micro + 1) if EVALUATION in case.open else (plan.evaluation.batch_size,)
        found += [replace(plan, evaluation=replace(plan.evaluation, batch_size=size)) for size in sizes]
    allowed = lost(case.plan, case.target)
    return [plan for plan in found if lost(plan, case.target) <= allowed]


def fits(plan: Plan, target: Target) -> bool:
    return weigh(plan, target).verdict == "fits"


def rounds(plan: Plan, case: Case) -> int:
    return sum(leaf(plan, path) in ROUNDING.get(path, ()) for path in case.open)


@settings(max_examples=60)
@given(cases())
def test_it_fits_where_anything_does_and_nothing_that_fits_is_faster(case: Case) -> None:
    fitting = [plan for plan in everything(case) if fits(plan, case.target)]
    best = case.solved
    assert fits(best, case.target) == bool(fitting)
    if fitting:
        least = min(rounds(plan, case) for plan in fitting)
        assert rounds(best, case) == least
        fastest = min(pace(plan, case.target) for plan in fitting if rounds(plan, case) == least)
        assert pace(best, case.target) <= fastest * (1 + SAME)


@given(cases())
def test_it_is_never_slower_than_without_a_gpu(case: Case) -> None:
    """Micro batch 1, checkpointing on, the target's own loss: what stands there where no card is named."""
    best = case.solved
    if fits(best, case.target) and fits(case.plan, case.target) and not rounds(best, case):
        assert pace(best, case.target) <= pace(case.plan, case.target) * (1 + SAME)


@given(cases())
def test_what_was_said_stays(case: Case) -> None:
    before, after = leaves(case.plan), leaves(case.solved)
    assert {path for path in before if before[path] != after[path]} <= set(case.open)


@given(cases())
def test_every_decision_has_a_reason_and_a_runner_up_where_there_is_one(case: Case) -> None:
    best = case.solved
    said = {decision.path: decision for decision in best.decisions}
    assert set(said) == set(case.open)
    for path, decision in said.items():
        assert decision.because
        assert decision.value == leaf(best, path)
        if decision.runner_up:
            assert decision.runner_up.value != decision.value
            assert (
                decision.runner_up.fits
                or not decision.runner_up.needs < weigh(best, case.target).high
                or not fits(best, case.target)
            )


SETTINGS = (
    "training.micro_batch_size=2",
    "training.gradient_checkpointing=true",
    "training.gradient_checkpointing=false",
    "training.loss=full",
    "training.kernels=none",
    "method.adapter_dtype=bfloat16",
    "training.optimizer=adamw_8bit",
    "evaluation.batch_size=1",
)


@given(
    st.sampled_from(sorted(RECIPES.glob("*-*lora-*.yaml"))),
    st.sets(st.sampled_from(SETTINGS)),
    st.sampled_from(TARGETS),
)
def test_a_leaf_of_the_recipe_is_never_changed(recipe: Path, sets: set[str], target: Target) -> None:
    chosen = {said.partition("=")[0]: said for said in sorted(sets)}
    plan = compile_recipe(
        recipe.name, recipe.read_text(), RECIPES, Options(target=target, sets=tuple(chosen.values()))
    ).plan
    if plan is None:
        return
    for path, said in chosen.items():
        assert str(leaf(plan, path)).lower() == said.partition("=")[2]
        assert all(decision.path != path for decision in plan.decisions)


def test_it_is_the_same_on_every_machine(tmp_path: Path) -> None:
    """Whatever the order of hashes, the folder and the machine's own card."""
    program = """
import json, sys
from pathlib import Path
from compiler.build import Options, compile_recipe
from compiler.report.plan_data import plan_report
for file in map(Path, sys.argv[1:]):
    found = compile_recipe(file.name, file.read_text(), file.parent, Options(target="native"))
    print(json.dumps(plan_report(found, "native", [])["decisions"]))
"""
    files = [str(file) for file in sorted(RECIPES.glob("*.yaml"))]
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA H200, 143771, 9.0'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)

    def decided(seed: str, path: str) -> list[str]:
        env = {**os.environ, "PYTHONHASHSEED": seed, "PATH": path, "PYTHONPATH": str(RECIPES.parent)}
        ran = subprocess.run(
            [sys.executable, "-c", program, *files], cwd=tmp_path, env=env, text=True, capture_output=True, check=True
        )
        return ran.stdout.splitlines()

    first, second = decided("0", os.environ["PATH"]), decided("1", f"{tmp_path}:{os.environ['PATH']}")
    assert first == second
    assert any(json.loads(line) for line in first)


@pytest.mark.parametrize("name", ["t4", "rtx-4090", "h100"])
def test_every_leaf_that_can_be_open_is_decided_for_a_card_of_the_catalog(name: str) -> None:
    gpu = find_gpu(name)
    assert isinstance(gpu, Gpu)
    plan = a_plan(MODELS[0], "qlora", accumulation=16, gpu=gpu, dtype="bfloat16" if gpu.has_bf16 else "float16")
    best = Case(plan, tuple(path for path in (MICRO, EVALUATION, *AXES) if path != STRATEGY), "native").solved
    assert fits(best, "native")
    assert all(
        ";" in decision.because or "needs" in decision.because or decision.path in (EVALUATION, ADAPTERS)
        for decision in best.decisions
        if decision.runner_up
    )
