"""What ends a native run before its end, for real: signals, and losses that are no number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from native_base import lora, write_artifact
from test_train import command, metrics_of, summary_of, train_here

from schemas.plan import Plan


def losses_of(plan: Plan) -> list[float]:
    return [line["loss"] for line in metrics_of(plan) if "loss" in line]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_stop_saves_its_last_step(
    stop: signal.Signals, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    """Though no checkpoint was due, and goes on from there to the same losses."""
    sections: dict[str, Any] = {
        "training": {"max_steps": 80},
        "checkpoint": {"every": 1000},
        "evaluation": {"every": None},
        "logging": {"every": 1},
        "data": {"validation": None},
    }
    whole = plan(**sections, output={"dir": str(tmp_path / "whole")})
    assert train_here(whole, tmp_path / "whole-artifact") == 0
    made = plan(**sections)
    folder, out = write_artifact(made, tmp_path / "artifact"), Path(made.output.dir)
    process = subprocess.Popen(command(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = out / "metrics.jsonl"
    while not (metrics.is_file() and metrics.read_text().count("\n") > 3):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.02)  # it is still training
    os.kill(process.pid, stop)
    said, failed = process.communicate(timeout=60)
    assert process.returncode == 128 + stop
    (mark,) = out.glob("checkpoints/*/complete.json")
    step = json.loads(mark.read_text())["step"]
    assert (said, failed) == ("", f"stopped after step {step}, which is saved; start it again to go on\n")
    assert 3 < step < 80
    assert not (out / "adapter").exists()
    assert train_here(made, folder) == 0
    assert summary_of(made)["resumed_at"] == step
    assert losses_of(made) == losses_of(whole)


def test_a_loss_that_is_no_number_is_told_with_its_step_and_rows(
    plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(
        method=lora(),
        training={"max_steps": 40, "learning_rate": 1e30, "max_grad_norm": 0.0},
        checkpoint={"every": 1, "keep": 50},
        evaluation={"every": None},
    )
    assert train_here(made, tmp_path / "artifact") == 1
    said = capsys.readouterr().err
    step = int(said.partition("the loss of step ")[2].partition(" ")[0])
    assert "its batch begins with" in said
    assert "car" in said
    steps = [json.loads(mark.read_text())["step"] for mark in Path(made.output.dir).glob("checkpoints/*/complete.json")]
    assert sorted(steps) == list(range(1, step))
    assert not (Path(made.output.dir) / "adapter").exists()
