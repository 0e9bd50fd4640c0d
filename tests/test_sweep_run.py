"""`ftc run --matrix`, for real: a small model trained at several points, stopped, gone on with, and read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from calls import ROOT, ftc
from native_base import Ground

from compiler.sweep.results import finished_before

RECIPE: dict[str, Any] = {
    "version": 1,
    "name": "cars",
    "model": {"base": "./base"},
    "method": {"kind": "lora", "rank": 8},
    "data": {
        "train": {"path": "train.jsonl", "format": "messages"},
        "validation": 16,
        "max_length": 64,
        "packing": False,
    },
    "training": {"max_steps": 4, "global_batch_size": 8, "micro_batch_size": 8, "learning_rate": 0.01},
    "evaluation": {"every": 2},
    "checkpoint": {"every": 2},
    "logging": {"every": 1},
    "hardware": {"gpu": "cpu", "memory": "8GiB"},
}
RATES = ("--matrix", "training.learning_rate=1e+30,1e-2")
"""The first ends in numbers that are none."""


@pytest.fixture(scope="module")
def home(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its rows and its base."""
    folder = tmp_path_factory.mktemp("sweep")
    shutil.copytree(ground.base, folder / "base")
    shutil.copy(ground.rows, folder / "train.jsonl")
    (folder / "cars.ftc.yaml").write_text(json.dumps(RECIPE, indent=1), encoding="utf-8")
    return folder


def run(home: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return ftc("run", "cars.ftc.yaml", *options, cwd=home)


def results(home: Path) -> dict[str, Any]:
    return json.loads((home / "build" / "cars" / "native" / "results.json").read_text("utf-8"))


def states(home: Path) -> dict[str, str]:
    return {item["point"]: item["state"] for item in results(home)["points"]}


def test_a_dry_run_shows_the_commands_and_trains_nothing(home: Path) -> None:
    done = run(home, *RATES, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("python train.py") == 2
    assert not (home / "outputs").exists()
    assert not (home / "build" / "cars" / "native" / "results.json").exists()


def test_a_point_that_fails_does_not_end_the_sweep(home: Path) -> None:
    done = run(home, *RATES)
    assert done.returncode == 1, done.stdout + done.stderr
    assert states(home) == {"learning_rate=1e+30": "failed", "learning_rate=1e-2": "finished"}
    failed, item = results(home)["points"]
    assert failed["why"].startswith("exit code 1: ")
    assert failed["loss"] is None
    summary = json.loads((Path(item["out"]) / "summary.json").read_text("utf-8"))
    assert item["loss"] == summary["loss"]["last"]
    assert item["validation"] == summary["loss"]["best_validation"]
    assert item["tokens_per_second"] == summary["tokens_per_second"]
    assert item["memory_gib"] == summary["memory"]["measured"]["resident_gib"]
    assert item["seconds"] == summary["seconds"]
    assert item["steps"] == 4
    assert "1 of 2 finished, 1 failed" in done.stdout
    table = (home / "build" / "cars" / "native" / "results.md").read_text("utf-8")
    assert "| 1 | `1e+30` | failed |" in table


class Page(HTMLParser):
    """The tags of a page, its text, and what its pictures say."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_axes_and_losses_without_script_or_request(home: Path) -> None:
    text = (home / "build" / "cars" / "native" / "results.html").read_text("utf-8")
    page = Page(text)
    named = [tag for tag, _ in page.tags]
    assert named.count("svg") > 3
    assert "1 of 2 finished, 1 failed" in page.text
    assert not {"script", "img", "link", "iframe"} & set(named)
    assert not any(name in ("src", "href") for _, attributes in page.tags for name in attributes)
    assert "Validation loss by training.learning_rate" in page.text
    assert "The best of each value: 1e+30: -; 1e-2: " in page.text, "a value without a finished run is told"
    assert "Training loss" in page.text
    pictures = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("role") == "img"]
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert len(pictures) == 3
    for picture in pictures:
        assert set(str(picture["aria-labelledby"]).split()) <= ids, "every picture has a text"


def test_finished_points_are_not_run_again_and_new_ones_are(home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (home / "outputs").glob("*/summary.json")}
    assert len(before) == 1
    done = run(home, "--matrix", "training.learning_rate=1e-2,2e-2")
    assert done.returncode == 0, done.stdout + done.stderr
    found = results(home)["points"]
    assert [item["before"] for item in found] == [True, False]
    assert "2 of 2 finished" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    best = min(found, key=lambda item: item["validation"])
    assert results(home)["best"] == best["point"]
    assert f"best: {best['point']}" in done.stdout
    dry = run(home, "--matrix", "training.learning_rate=1e-2,4e-2", "--dry-run").stdout
    assert dry.count("# finished: not run again") == 1


def test_no_best_is_named_of_losses_over_different_rows(home: Path) -> None:
    """Rows are drawn by the seed: which of two losses is less says nothing."""
    done = run(home, "--matrix", "training.seed=1,2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert results(home)["best"] is None
    assert "  best: " not in done.stdout and "no best is named" in done.stdout


def test_a_run_is_finished_as_long_as_its_rows_and_settings_are(home: Path) -> None:
    folder, rows = home / "build" / "cars" / "native" / "learning_rate=1e-2", home / "train.jsonl"
    assert finished_before(folder)
    was, plan = rows.read_text("utf-8"), (folder / "plan.json").read_text("utf-8")
    rows.write_text(was + was.splitlines(keepends=True)[0], encoding="utf-8")
    assert not finished_before(folder)
    rows.write_text(was, encoding="utf-8")
    assert finished_before(folder)
    (folder / "plan.json").write_text(plan.replace('"seed": 42', '"seed": 43'), encoding="utf-8")
    assert not finished_before(folder)
    (folder / "plan.json").write_text(plan, encoding="utf-8")
    assert not finished_before(home / "nowhere")


def test_a_sweep_that_is_stopped_says_what_is_finished_and_goes_on(home: Path) -> None:
    """Ctrl-C in the middle of the second point: it is continued from its checkpoint, the first is not run again."""
    recipe = {**RECIPE, "name": "long", "training": {**RECIPE["training"], "max_steps": 60}}
    (home / "long.ftc.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "compiler.cli", "run", "long.ftc.yaml", "--matrix", "training.seed=1,2"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command, cwd=home, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    checkpoints = home / "outputs" / "long-seed-2" / "checkpoints"
    while not list(checkpoints.glob("checkpoint-*")):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.02)  # it is still at it
    process.send_signal(signal.SIGINT)
    said, failed = process.communicate(timeout=60)
    assert process.returncode == 130, said + failed
    assert "Traceback" not in said + failed
    assert "1 of 2 finished, 1 stopped" in said
    assert "the same command goes on" in failed
    done = ftc("run", "long.ftc.yaml", "--matrix", "training.seed=1,2", cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((home / "build" / "long" / "native" / "results.json").read_text("utf-8"))["points"]
    assert [(item["state"], item["before"]) for item in found] == [("finished", True), ("finished", False)]
    assert found[1]["continued"] > 0
    assert found[1]["steps"] == 60
    assert "*: since it was continued" in done.stdout


def test_results_that_are_not_ours_are_left_alone(home: Path) -> None:
    page = home / "build" / "cars" / "native" / "results.html"
    was = page.read_text("utf-8")
    page.write_text("mine", encoding="utf-8")
    done = run(home, "--matrix", "training.learning_rate=1e-2")
    assert done.returncode == 2
    assert "results.html" in done.stderr
    assert page.read_text("utf-8") == "mine"
    page.write_text(was, encoding="utf-8")
