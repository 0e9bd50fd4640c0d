"""Muon on the native target: which weights it takes, that it learns, goes on where it stopped, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from native_base import full, lora
from test_train import metrics_of, reloaded, summary_of, train_here, validation_loss
from trace_models import LLAMA, a_folder, a_small_plan

from backends.native import losses
from compiler.memory import weigh
from compiler.trace.exact import weigh_exact
from schemas.method_plan import AdapterPlan, Ia3Plan, PromptPlan, PTuningPlan
from schemas.plan import Plan

MUON: dict[str, Any] = {"optimizer": "muon", "betas": None, "epsilon": None}
METHODS = {
    "full": full(),
    "lora": lora(modules_to_save=("lm_head",)),
    "dora": lora("dora"),
    "qlora": lora("qlora"),
    "adapter": AdapterPlan("adapter", 8, "relu", "houlsby"),
    "p_tuning": PTuningPlan("p_tuning", 4, None, 32),
}


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_and_goes_on_bit_for_bit(method: str, plan: Callable[..., Plan], tmp_path: Path) -> None:
    rate = 3e-3 if method == "full" else 1e-2
    made = plan(
        method=METHODS[method],
        training={**MUON, "learning_rate": rate, "weight_decay": 0.01, "max_steps": 12},
        checkpoint={"every": 6},
        # On a CPU bitsandbytes packs 4-bit weights anew where they are evaluated, and computes otherwise from then on.
        evaluation={"every": None if method == "qlora" else 6},
        logging={"every": 1},
    )
    assert train_here(made, tmp_path / "artifact") == 0
    whole, out = metrics_of(made), Path(made.output.dir)
    fallen = summary_of(made)["loss"]["first"] - summary_of(made)["loss"]["last"]
    assert fallen > (0.03 if method == "p_tuning" else 0.3)
    if method in ("full", "lora"):
        found = validation_loss(reloaded(made), tmp_path / "artifact")
        assert found == pytest.approx(summary_of(made)["loss"]["last_validation"], abs=2e-3)
    _parted_rightly(torch.load(out / "checkpoints/checkpoint-12/optimizer.pt", weights_only=True))
    for gone in ("summary.json", "checkpoints/checkpoint-12/complete.json"):
        (out / gone).unlink()
    assert train_here(made, tmp_path / "artifact") == 0
    assert summary_of(made)["resumed_at"] == 6
    assert [_said(line) for line in metrics_of(made)] == [_said(line) for line in whole]


def _said(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line.get(name) for name in ("step", "loss", "grad_norm", "eval_loss", "learning_rate"))


def _parted_rightly(saved: dict[str, Any]) -> None:
    """Matrices have a momentum and nothing else; all others have AdamW's two means."""
    for group in saved["param_groups"]:
        for number in group["params"]:
            names = set(saved["state"][number])
            assert names == ({"momentum_buffer"} if "ns_steps" in group else {"step", "exp_avg", "exp_avg_sq"})
    matrices = [len(group["params"]) for group in saved["param_groups"] if "ns_steps" in group]
    assert sum(matrices) > 0


def test_embedding_head_and_norms_are_left_to_adamw(plan: Callable[..., Plan]) -> None:
    from transformers import AutoModelForCausalLM

    from backends.native.muon import muon

    model = AutoModelForCausalLM.from_pretrained(plan().model.base)
    names = {id(item): name for name, item in model.named_parameters()}
    made = muon(model, 1e-3, 0.1)
    by_muon = {names[id(item)] for group in made.parts[0].param_groups for item in group["params"]}
    assert {name.rsplit(".", 2)[1] for name in by_muon} == {*lora().target_modules}
    by_adamw = {names[id(item)] for group in made.parts[1].param_groups for item in group["params"]}
    assert by_adamw == set(names.values()) - by_muon
    assert {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= by_adamw


def test_a_step_is_as_large_as_one_of_adamw(plan: Callable[..., Plan]) -> None:
    """So both are told one learning rate: an orthogonal update has singular values of about one, scaled to 0.2 a
    weight (arXiv:2502.16982), which is what AdamW's usually has."""
    from transformers import AutoModelForCausalLM

    from backends.native.muon import muon

    model = AutoModelForCausalLM.from_pretrained(plan().model.base)
    before = {name: item.detach().clone() for name, item in model.named_parameters()}
    ids = torch.arange(5, 60)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    muon(model, 1e-3, 0.0).step()
    for name, item in model.named_parameters():
        moved = (item - before[name]).pow(2).mean().sqrt().item()
        inside = name.startswith("model.layers") and item.ndim == 2
        assert 1e-4 < moved < 3e-4 if inside else moved <= 1.001e-3


REFUSED = {
    "lora plus": ({"method": lora(lora_plus_ratio=4.0)}, "method.lora_plus_ratio"),
    "vectors": ({"method": Ia3Plan("ia3", ("k_proj",), ())}, "training.optimizer"),
    "virtual tokens": ({"method": PromptPlan("prompt_tuning", 4, None)}, "training.optimizer"),
    "zero": ({"hardware": {"count": 2, "strategy": "zero2"}}, "training.optimizer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_where_there_are_no_matrices_it_is_refused(case: str, plan: Callable[..., Plan]) -> None:
    sections, path = REFUSED[case]
    assert path in [item.path for item in losses(plan(training=MUON, **sections)) if item.code == "FTC404"]
    assert not losses(plan(training=MUON))


@pytest.mark.parametrize("method", ["full", "lora", "dora"])
def test_memory_of_its_step_is_as_traced(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = a_folder(tmp_path / "model", {**LLAMA, "hidden_size": 512, "intermediate_size": 2048})
    made = a_small_plan(folder, method, optimizer="muon", loss="chunked", length=64)
    formula, trace = weigh(made, "native"), weigh_exact(made, "native", lambda _: None)
    assert formula.phases.optimizer == pytest.approx(trace.phases.optimizer, rel=5e-3)
    assert formula.parts.optimizer == pytest.approx(trace.parts.optimizer, rel=5e-3)
    less = replace(made, training=replace(made.training, optimizer="adamw"))
    assert formula.parts.optimizer < weigh(less, "native").parts.optimizer
