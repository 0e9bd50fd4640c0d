"""What trackers are told of a run, by the trackers themselves, without the network: those that are installed."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from native_base import write_artifact

from schemas.plan import Plan

RECIPE = "version: 1\nname: cars\n"
LOCK = {"ftc": "9.9.9", "recipe": {"file": "cars.ftc.yaml", "set": ["name=cars"]}}


def tracked(plan: Callable[..., Plan], tracker: str, folder: Path, *, child: bool = False) -> Plan:
    """A run of a few steps that reports to this tracker. `child`: in a process of its own."""
    from backends.native import train

    made = plan(logging={"to": (tracker,), "every": 1}, training={"max_steps": 3}, evaluation={"every": None})
    artifact = write_artifact(made, folder / "artifact")
    (artifact / "recipe.ftc.yaml").write_text(RECIPE, "utf-8")
    (artifact / "ftc.lock.json").write_text(json.dumps(LOCK), "utf-8")
    if child:
        subprocess.run([sys.executable, str(artifact / "train.py")], check=True)
    else:
        assert train.main(["--plan", str(artifact / "plan.json")]) == 0
    return made


def check(told: dict[str, Any], plan: Plan) -> None:
    """The whole of it."""
    assert told["recipe"] == RECIPE + "# --set name=cars\n"
    assert told["plan"]["training"]["learning_rate"] == plan.training.learning_rate
    assert told["plan"]["derived"]["decisions"] == []
    assert told["versions"]["ftc"] == "9.9.9"
    assert {"torch", "trl", "python"} <= set(told["versions"])


def test_tensorboard(plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="make trackers brings it")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    made = tracked(plan, "tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    texts = {
        name: events.Tensors(f"{name}/text_summary")[0].tensor_proto.string_val[0].decode()
        for name in ("recipe", "plan", "versions")
    }
    inside = {name: text.split("\n", 1)[1].removesuffix("\n```") for name, text in texts.items()}
    check({"recipe": inside["recipe"], **{name: json.loads(inside[name]) for name in ("plan", "versions")}}, made)
    assert len(events.Scalars("train/tokens_per_second")) == len(events.Scalars("train/memory_gib")) == 3


def test_wandb(plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="make trackers brings it")
    for name, value in (("WANDB_MODE", "offline"), ("WANDB_DIR", str(tmp_path)), ("WANDB_SILENT", "true")):
        monkeypatch.setenv(name, value)
    made = tracked(plan, "wandb", tmp_path)
    check(dict(wandb.config)["ftc"], made)
    assert wandb.run.summary["train/tokens_per_second"] > 0
    wandb.finish()


def test_mlflow(plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="make trackers brings it")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    made = tracked(plan, "mlflow", tmp_path)
    (run,) = (path.parent for path in (tmp_path / "mlruns").glob("*/*/artifacts"))
    told = {name: json.loads((run / "artifacts" / f"{name}.json").read_text("utf-8")) for name in ("plan", "versions")}
    check({**told, "recipe": (run / "artifacts" / "recipe.ftc.yaml").read_text("utf-8")}, made)
    assert (run / "params" / "plan.training.learning_rate").read_text() == str(made.training.learning_rate)
    assert len((run / "metrics" / "tokens_per_second").read_text().splitlines()) == 3


def test_trackio(plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio", reason="make trackers brings it")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    made = tracked(plan, "trackio", tmp_path, child=True)  # it looks for its folder once, as it is imported
    with sqlite3.connect(next((tmp_path / "trackio").glob("*.db"))) as kept:
        (config,) = kept.execute("select config from configs").fetchone()
        lines = [json.loads(line) for (line,) in kept.execute("select metrics from metrics")]
    check(json.loads(config)["ftc"], made)
    assert sum("train/tokens_per_second" in line for line in lines) == 3
