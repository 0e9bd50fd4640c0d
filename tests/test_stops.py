"""What ends a native run before its end, for real: signals, and losses that are no number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaos.cases import ROOT, Case, recipe
from native_base import lora, write_artifact
from test_train import command, metrics_of, summary_of, train_here

from backends.native import emit
from backends.native.checkpoints import MARK, whole
from backends.native.resume import going_on
from schemas.plan import Plan

TIMED = ("tokens_per_second", "memory_gib", "memory_phases_gib", "eval_seconds")
GO_ON = "start it again to go on from checkpoint-{}"


def course(plan: Plan) -> list[dict[str, Any]]:
    """All log lines, without what no two runs have alike."""
    return [{name: value for name, value in line.items() if name not in TIMED} for line in metrics_of(plan)]


def training(process: subprocess.Popen[str], metrics: Path, lines: int) -> None:
    """Return when a run has written so many log lines."""
    while not (metrics.is_file() and metrics.read_text().count("\n") >= lines):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.02)  # it is still training


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_stop_saves_its_last_step(
    stop: signal.Signals, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    """Though no checkpoint was due, and goes on from there to the same losses."""
    sections: dict[str, Any] = {
        "training": {"max_steps": 80},
        "checkpoint": {"every": 1000},
        "evaluation": {"every": "epoch"},
        "logging": {"every": 1},
        "method": lora(dropout=0.1),
    }
    whole = plan(**sections, output={"dir": str(tmp_path / "whole")})
    assert train_here(whole, tmp_path / "whole-artifact") == 0
    made = plan(**sections)
    folder, out = write_artifact(made, tmp_path / "artifact"), Path(made.output.dir)
    process = subprocess.Popen(command(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    training(process, out / "metrics.jsonl", 4)
    for _ in range(1 if stop == signal.SIGINT else 2):  # systemd and SLURM tell the run, and who started it
        os.kill(process.pid, stop)
    said, failed = process.communicate(timeout=60)
    assert process.returncode == 128 + stop
    (mark,) = out.glob("checkpoints/*/complete.json")
    step = json.loads(mark.read_text())["step"]
    assert (said, failed) == ("", f"stopped after step {step}, which is saved; {GO_ON.format(step)}\n")
    assert 3 < step < 80
    assert not (out / "adapter").exists()
    assert train_here(made, folder) == 0
    assert summary_of(made)["resumed_at"] == step
    assert course(made) == course(whole)


@pytest.mark.slow
def test_several_processes_end_after_the_same_step(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """Which is saved; the launcher ends by the code of the signal, and says nothing of its own."""
    sections: dict[str, Any] = {
        "training": {"max_steps": 80, "micro_batch_size": 4},
        "checkpoint": {"every": 1000},
        "evaluation": {"every": None},
        "logging": {"every": 1},
        "hardware": {"count": 2, "strategy": "ddp"},
        "method": lora(dropout=0.1),
    }
    whole = plan(**sections, output={"dir": str(tmp_path / "whole")})
    made = plan(**sections)
    start = [sys.executable, "launch.py", "--standalone", "--nproc-per-node", "2", "train.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(start, cwd=write_artifact(whole, tmp_path / "whole-artifact"), env=environment, check=True)
    folder, out = write_artifact(made, tmp_path / "artifact"), Path(made.output.dir)
    process = subprocess.Popen(start, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    training(process, out / "metrics.jsonl", 4)
    process.terminate()
    _, failed = process.communicate(timeout=60)
    assert process.returncode == 143
    (mark,) = out.glob("checkpoints/*/complete.json")
    step = json.loads(mark.read_text())["step"]
    assert failed == f"stopped after step {step}, which is saved; {GO_ON.format(step)}\n"
    subprocess.run(start, cwd=folder, env=environment, check=True)
    assert summary_of(made)["resumed_at"] == step < 80
    assert course(made) == course(whole)


@pytest.mark.parametrize(
    ("changes", "then"),
    [
        ({}, "start it again"),
        ({"weights_only": True}, "start it again to begin anew, as checkpoints hold weights only"),
        ({"resume": "never"}, "start it again to begin anew, as checkpoint.resume is never"),
    ],
)
def test_what_another_start_does_is_told_as_it_is(
    changes: dict[str, Any], then: str, plan: Callable[..., Plan]
) -> None:
    """Nothing is gone on from where no checkpoint is, or none that can be."""
    made = json.loads(emit(plan(checkpoint=changes), None, ()).files["plan.json"])
    assert going_on(made, fresh=False) == then
    place = Path(made["output"]["dir"]) / "checkpoints" / "checkpoint-3"
    place.mkdir(parents=True)
    (place / MARK).write_text('{"plan": "", "files": {}}')
    saved = not changes
    assert going_on(made, fresh=False) == ("start it again to go on from checkpoint-3" if saved else then)
    assert going_on(made, fresh=True) == (
        "start it again without --fresh to go on from checkpoint-3" if saved else then
    )


def test_the_command_ends_as_its_run_is_stopped(tmp_path: Path) -> None:
    """By the code of the signal; started again it goes on, and is stopped again."""
    place = tmp_path / "stopped.ftc.yaml"
    case = Case("", "", {"training": {"max_steps": 5000}, "checkpoint": {"every": 10_000}})
    place.write_text(recipe(case, tmp_path / "out"), "utf-8")
    start = [sys.executable, "-m", "compiler.cli", "run", str(place)]
    environment, out = {**os.environ, "PYTHONPATH": str(ROOT)}, tmp_path / "out" / "chaos"
    steps = [0]
    for stop in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            start, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        training(process, out / "metrics.jsonl", steps[-1] + 2)
        process.send_signal(stop)
        _, failed = process.communicate(timeout=60)
        assert process.returncode == 128 + stop
        assert "Traceback" not in failed
        steps.append(max(json.loads(mark.read_text())["step"] for mark in out.glob("checkpoints/*/complete.json")))
        assert f"stopped after step {steps[-1]}, which is saved; {GO_ON.format(steps[-1])}\n" in failed
    assert steps == sorted(set(steps))
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, steps[-1] + 1))


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
    assert train_here(made, tmp_path / "artifact") == 1
    assert (
        f"the loss of step {step} is " in capsys.readouterr().err
    )  # from the last good checkpoint it comes there again
    assert all(whole(path) for path in Path(made.output.dir).glob("checkpoints/checkpoint-*"))
