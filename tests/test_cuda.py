"""The native run on a CUDA card: the same tests of what is learnt, where one is. Skipped elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from native_base import lora
from test_train import metrics_of, summary_of, train_here

from schemas.method_plan import QuantizationPlan
from schemas.plan import Plan

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
MakePlan = Callable[..., Plan]
CARD: dict[str, Any] = {"gpu": None, "hardware": {"gpu": None}, "model": {"dtype": "bfloat16"}}


def losses(plan: Plan) -> list[float]:
    return [line["loss"] for line in metrics_of(plan) if "loss" in line]


def trained(plan: Plan, folder: Path) -> list[float]:
    assert train_here(plan, folder) == 0, (folder / "error.log").read_text() if (folder / "error.log").exists() else ""
    return losses(plan)


@pytest.mark.parametrize("packing", [False, True])
def test_the_loss_in_pieces_is_the_whole_loss(plan: MakePlan, tmp_path: Path, packing: bool) -> None:
    found = {}
    for kind in ("full", "chunked"):
        told = {"training": {"loss": kind}, "output": {"dir": str(tmp_path / kind)}, "data": {"packing": packing}}
        found[kind] = trained(plan(**CARD, **told, logging={"every": 1}), tmp_path / f"a-{kind}")
    assert found["chunked"] == pytest.approx(found["full"], rel=2e-2)
    assert found["full"][0] == pytest.approx(math.log(400), rel=0.1)
    assert found["full"][-1] < found["full"][0] - 0.3


@pytest.mark.parametrize("packing", [False, True])
def test_a_card_learns_what_a_cpu_learns(plan: MakePlan, tmp_path: Path, packing: bool) -> None:
    """In float32, so that only the kernels differ."""
    exact = {**CARD, "model": {"dtype": "float32"}, "logging": {"every": 1}, "data": {"packing": packing}}
    on_card = trained(plan(**exact, output={"dir": str(tmp_path / "card")}), tmp_path / "a")
    cpu = {"logging": {"every": 1}, "data": {"packing": packing}, "output": {"dir": str(tmp_path / "cpu")}}
    assert on_card == pytest.approx(trained(plan(**cpu), tmp_path / "b"), rel=2e-3)


def test_recomputed_and_stopped_runs_are_the_same(plan: MakePlan, tmp_path: Path) -> None:
    whole = trained(plan(**CARD, logging={"every": 1}, output={"dir": str(tmp_path / "whole")}), tmp_path / "a")
    again = {"training": {"gradient_checkpointing": True}, "output": {"dir": str(tmp_path / "again")}}
    assert trained(plan(**CARD, logging={"every": 1}, **again), tmp_path / "b") == pytest.approx(whole, rel=2e-2)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantised_base_learns_and_its_memory_is_told(plan: MakePlan, tmp_path: Path, bits: int) -> None:
    method = lora("qlora", quantization=QuantizationPlan(bits, "nf4", True, "bfloat16"))
    found = trained(plan(**CARD, method=method, logging={"every": 1}), tmp_path / "a")
    assert all(map(math.isfinite, found))
    assert found[-1] < found[0]
    memory = summary_of(plan(**CARD))["memory"]["measured"]
    assert 0 < memory["allocated_gib"] <= memory["reserved_gib"] <= memory["device_gib"]


def test_what_was_saved_says_the_same_on_the_card(plan: MakePlan, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    made = plan(**CARD, method=lora(), output={"merge": True})
    trained(made, tmp_path / "a")
    saved = Path(made.output.dir)
    adapted = AutoPeftModelForCausalLM.from_pretrained(saved / "adapter", dtype=torch.float32).to("cuda").eval()
    ids = torch.arange(40, device="cuda")[None]
    from transformers import AutoModelForCausalLM

    merged = AutoModelForCausalLM.from_pretrained(saved / "merged", dtype=torch.float32).to("cuda").eval()
    with torch.no_grad():
        one, other = adapted(ids).logits, merged(ids).logits
    assert (one - other).norm() <= 2e-2 * one.norm()


def test_out_of_memory_says_what_was_planned(
    plan: MakePlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(**CARD)
    free, total = torch.cuda.mem_get_info()
    held = torch.empty(free - (600 << 20), dtype=torch.uint8, device="cuda")
    torch.cuda.set_per_process_memory_fraction((held.numel() + (2 << 20)) / total)
    try:
        assert train_here(made, tmp_path / "a") == 1
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        del held
        torch.cuda.empty_cache()
    said = capsys.readouterr().err
    assert "ran out of memory" in said
    assert "Traceback" not in said


def test_how_busy_the_card_was_is_told(plan: MakePlan, tmp_path: Path) -> None:
    made = plan(**CARD)
    trained(made, tmp_path / "a")
    summary = json.loads((Path(made.output.dir) / "summary.json").read_text())
    assert summary["tflops"] > 0
    assert summary["of_peak"] is None  # no card is named, so that its peak is unknown
