"""The quickstart from end to end: check the recipe, plan, build for four tools, measure, train, measure again.

    python run.py             what `make quickstart` does
    python run.py --control   the same on shuffled answers, from which nothing can be learnt: `make control`

Each step is a command that is shown before it runs, and that you can run yourself.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECIPE = (HERE / "quickstart.ftc.yaml").relative_to(ROOT)
TARGETS = ("native", "axolotl", "llamafactory", "unsloth")
FTC = [sys.executable, "-m", "compiler.cli"]


@dataclass(frozen=True, slots=True)
class Task:
    """What is trained and what must come of it. `sets`: what the run changes in the recipe."""

    name: str
    sets: tuple[str, ...]
    enough: str

    @property
    def outputs(self) -> Path:
        """Where training writes."""
        return HERE / "outputs" / self.name

    @property
    def scores(self) -> Path:
        """Where the answers to the held-out rows are written."""
        return ROOT / "build" / self.name


def run(command: list[str]) -> None:
    """Show a command and run it; a failure ends the quickstart with its exit code."""
    shown = ["ftc", *command[len(FTC) :]] if command[: len(FTC)] == FTC else command
    print(f"\n$ {shlex.join(shown)}", flush=True)
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def ftc(command: str, *arguments: str, sets: tuple[str, ...] = ()) -> None:
    run([*FTC, command, str(RECIPE), *arguments, *(part for item in sets for part in ("--set", item))])


def evaluate(name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Let the model answer the held-out rows; `name` says when."""
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / f"{name}.json"
    script = [sys.executable, str((HERE / "evaluate.py").relative_to(ROOT))]
    run([*script, *arguments, "--show", "3", "--json", str(result.relative_to(ROOT))])
    return json.loads(result.read_text(encoding="utf-8"))


def shuffled() -> Task:
    """The task with every answer given to another row."""
    data = ROOT / "build" / "control" / "shuffled.jsonl"
    data.parent.mkdir(parents=True, exist_ok=True)
    run([sys.executable, str(HERE / "make_data.py"), "--shuffled", str(data)])
    return Task("control", ("name=control", f"data.train[0].path={data}"), "under 5 %: there was nothing to learn")


def losses(task: Task) -> tuple[float, float]:
    """Training loss in the first and the last log line."""
    summary = json.loads((task.outputs / "summary.json").read_text(encoding="utf-8"))
    return summary["loss"]["first"], summary["loss"]["last"]


def report(task: Task, before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Print what came of it; whether that is what should."""
    first, last = losses(task)
    print(f"\n{task.name}: exact answers on {after['total']} dates that it never saw")
    print(f"  before training  {before['accuracy']:6.1%}")
    print(f"  after training   {after['accuracy']:6.1%}   (expected: {task.enough})")
    print(f"  training loss    {first:.4f} -> {last:.4f}")
    for row in after["rows"][:3]:
        print(f"  {row['input']!r} -> {row['answer']!r}")
    print(f"\n  adapter      {(task.outputs / 'adapter').relative_to(ROOT)}")
    print(f"  metrics      {(task.outputs / 'metrics.jsonl').relative_to(ROOT)}")
    print(f"  report       {(task.outputs / 'report.html').relative_to(ROOT)}")
    print(f"  all answers  {task.scores.relative_to(ROOT)}/before.json, after.json")
    if task.name == "quickstart":
        print(f"  built for    {', '.join(f'build/quickstart/{target}' for target in TARGETS)}")
        return before["accuracy"] < 0.05 and after["accuracy"] >= 0.95
    return after["accuracy"] < 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control", action="store_true", help="train on shuffled answers")
    if parser.parse_args().control:
        task = shuffled()
    else:
        task = Task("quickstart", (), "at least 95 %")
        ftc("validate")
        ftc("plan")
        for target in TARGETS:
            ftc("build", "--target", target)
    before = evaluate("before", task.scores)
    ftc("run", sets=task.sets)
    adapter = (task.outputs / "adapter").relative_to(ROOT)
    after = evaluate("after", task.scores, "--adapter", str(adapter))
    return 0 if report(task, before, after) else 1


if __name__ == "__main__":
    sys.exit(main())
