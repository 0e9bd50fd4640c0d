"""The native run, for real: tiny models trained on this machine's CPU, in this process or in a child as `ftc run` does."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from native_base import chats, full, lora, make_base, make_plan, source, write_artifact, write_rows

from schemas.plan import Plan

NATIVE = Path(__file__).parents[1] / "backends" / "native"
sys.path.insert(0, str(NATIVE))


@dataclass(frozen=True)
class Ground:
    """A base and its data, shared by all tests of this file."""

    base: Path
    rows: Path


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("ground")
    return Ground(make_base(folder / "base"), write_rows(folder / "train.jsonl", chats(0, 96)))


@pytest.fixture
def plan(ground: Ground, tmp_path: Path) -> Callable[..., Plan]:
    def make(**sections: Any) -> Plan:
        return make_plan(ground.base, source(ground.rows), tmp_path / "out", **sections)

    return make


def train_here(plan: Plan, folder: Path, *options: str) -> int:
    """Run `train.py` in this process: importing trl anew for each run would cost more than the runs."""
    import train

    return train.main(["--plan", str(write_artifact(plan, folder) / "plan.json"), *options])


def child(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *options), capture_output=True, text=True, timeout=300, check=False)


def command(folder: Path, *options: str) -> list[str]:
    isolated = "-P" if sys.version_info >= (3, 11) else "-I"
    return [sys.executable, isolated, str(folder / "train.py"), *options]


def summary_of(plan: Plan) -> dict[str, Any]:
    return json.loads((Path(plan.output.dir) / "summary.json").read_text())


def metrics_of(plan: Plan) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(plan.output.dir) / "metrics.jsonl").read_text().splitlines()]


def validation_loss(plan: Plan, model: Any, folder: Path) -> float:
    """What a plain script finds: the loss of the held-out rows' answers, one row at a time."""
    import torch
    from model import load_tokenizer
    from train import load_data

    config = json.loads((folder / "plan.json").read_text())
    rows = load_data(config, load_tokenizer(config, folder)).validation
    total, tokens = 0.0, 0
    for row in rows:
        labels = torch.tensor([row["labels"]])
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits
        total += torch.nn.functional.cross_entropy(logits[0, :-1].float(), labels[0, 1:], reduction="sum").item()
        tokens += int((labels[0, 1:] != -100).sum())
    return total / tokens


def reloaded(plan: Plan) -> Any:
    """The result of a run, loaded without anything of ours."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    out = Path(plan.output.dir)
    if (out / "adapter").exists():
        return AutoPeftModelForCausalLM.from_pretrained(out / "adapter").eval()
    return AutoModelForCausalLM.from_pretrained(out / "model").eval()


METHODS = {
    "lora": {},
    "lora-recomputed": {"training": {"max_steps": 12, "gradient_checkpointing": True, "loss": "full"}},
    "lora-packed": {"data": {"packing": True}, "training": {"max_steps": 12, "micro_batch_size": 1, "global_batch_size": 2}},
    "dora-rslora-pissa": {"method": lora("dora", rslora=True, init="pissa", dropout=0.05)},
    "lora-plus": {"method": lora(lora_plus_ratio=4.0, modules_to_save=("lm_head",))},
    "full": {"method": full(freeze=("*embed_tokens*",))},
}


@pytest.mark.parametrize("method", METHODS)
def test_methods_learn_and_what_is_saved_is_what_was_trained(
    method: str, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    made = plan(**METHODS[method])
    assert train_here(made, tmp_path / "artifact") == 0
    summary = summary_of(made)
    assert summary["steps"] == 12
    assert summary["loss"]["last"] < summary["loss"]["first"] - 0.5
    assert summary["loss"]["last_validation"] < summary["loss"]["first_validation"]
    # Packed rows and padded ones are weighed differently in a mean over batches of several rows, not in one batch.
    found = validation_loss(made, reloaded(made), tmp_path / "artifact")
    assert math.isclose(found, summary["loss"]["last_validation"], abs_tol=2e-3)
