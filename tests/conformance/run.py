"""The real tools read what ftc builds for them, and what they make of it is compared with the plan: `make conformance`.

Each recipe is compiled for each tool and given to the tool's own parser, then to its own code that loads the model,
prepares the rows and builds the trainer, up to where training begins. What is read out of the trainer's own objects,
field by field, must be what the plan says; what differs must be a warning of the artifact (FTC405), or the recipe's
line is refused. One spoiled artifact of each kind must be noticed, so that a check that sees nothing is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from cases import Case, Ground, generated, options, recipes
from environments import ENVIRONMENT, TOOLS, Tool, install
from judging import Judged, judge
from launch import commands, launched
from msgspec import Struct, to_builtins
from spoiling import SPOILS, spoil

from backends.emission import out_folder
from compiler.build import Compiled, compile_recipe
from compiler.write import write_artifact
from schemas.plan import Plan

HERE: Final = Path(__file__).resolve().parent
STEPS: Final = 1000
"""Optimizer steps that a run is said to have where the recipe has only epochs: the sample rows are few."""
SIGNATURES_OF_A_GPU: Final = {"UNSLOTH_ALLOW_CPU": "1"}


class Built(Struct, frozen=True):
    """A case that was compiled and written into `folder`. `resume`: the checkpoint that lies in its results."""

    case: Case
    plan: Plan
    folder: Path
    warned: tuple[str, ...]
    resume: str
    launch: dict[str, Any]

    @property
    def steps(self) -> int:
        return self.plan.training.max_steps or STEPS


def main() -> int:
    """1 where a tool refuses an artifact, or a field differs without a word about it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tools", nargs="*", help="only these of " + ", ".join(tool.name for tool in TOOLS))
    parser.add_argument("--only", help="only cases whose name has this in it")
    parser.add_argument("--keep", type=Path, help="a folder to work in, which is kept")
    asked = parser.parse_args()
    chosen = [tool for tool in TOOLS if not asked.tools or tool.name in asked.tools]
    wrong = 0
    with TemporaryDirectory(prefix="ftc-conformance-") as scratch:
        ground = Ground(asked.keep or Path(scratch))
        ground.prepare()
        for tool in chosen:
            install(tool)
            wrong += check(tool, ground, asked.only or "")
    return int(wrong > 0)


def check(tool: Tool, ground: Ground, only: str) -> int:
    """How many artifacts of this tool are not what their plans say."""
    made, array = generated(tool.name, ground)
    found = [case for case in (*recipes(tool.name, ground), *made) if only in case.name]
    built = [item for case in found if (item := build(tool, case, ground))]
    spoiled = [item for kind in SPOILS[tool.name] if (item := spoil(built, kind))]
    read(tool, [item.folder for item in (*built, *spoiled)])
    judged = [judge(tool, item, report_of(item.folder)) for item in built]
    report(tool, judged)
    print(
        f"{tool.name}: {len(built)} artifacts, {sum(item.fields for item in judged)} fields; "
        f"{array.covered} of {array.pairs} pairs of values stand in one, {len(array.refused_pairs)} are refused"
    )
    unseen = [item.case.name for item in spoiled if not judge(tool, item, report_of(item.folder)).wrong]
    for name in unseen:
        print(f"{tool.name}: NOT SEEN: {name}")
    return len(unseen) + sum(item.wrong for item in judged)


def build(tool: Tool, case: Case, ground: Ground) -> Built | None:
    """Write the artifact and what its checker is told; None where the recipe is refused, which tests look at."""
    compiled = compile_recipe("recipe.yaml", case.text, case.folder, options(tool.name, case.sets, emit=True))
    plan, artifact = compiled.plan, compiled.artifact
    if plan is None or artifact is None:
        print(f"{tool.name:13} {case.name:34} not built: {', '.join(errors(compiled))}")
        return None
    folder = ground.place / tool.name / case.name
    shutil.rmtree(folder, ignore_errors=True)
    write_artifact(artifact, folder, {}, lambda _: None)
    lines = commands(artifact)
    warned = tuple(item.path for item in compiled.diagnostics if item.code == "FTC405")
    checkpoint = leave_checkpoint(Path(out_folder(tool.name, plan)))
    made = Built(case, plan, folder, warned, str(checkpoint), launched(lines, folder))
    tell(made, to_builtins(lines))
    return made


def errors(compiled: Compiled) -> list[str]:
    return [f"{item.code} {item.path}" for item in compiled.diagnostics if item.level == "error"]


def leave_checkpoint(out: Path) -> Path:
    """A checkpoint of an earlier run, as the trainers know one."""
    made = out / "checkpoint-7"
    made.mkdir(parents=True, exist_ok=True)
    (made / "trainer_state.json").write_text(json.dumps({"global_step": 7, "epoch": 0.1}), encoding="utf-8")
    return made


def tell(built: Built, lines: object) -> None:
    """What the checker needs beside the artifact."""
    stand_in = built.case.stand_in
    told = {
        "steps": built.steps,
        "base": str(stand_in) if stand_in else None,
        "recipe_base": built.plan.model.base,
        "commands": lines,
        "sets": built.case.sets,
    }
    (built.folder / "told.json").write_text(json.dumps(told), encoding="utf-8")


def read(tool: Tool, folders: Iterable[Path]) -> None:
    """Let the tool's own Python look at every folder; a report is left in each."""
    command = [tool.bin / "python", HERE / f"check_{tool.name}.py", *folders]
    told = {**ENVIRONMENT, **SIGNATURES_OF_A_GPU, "PYTHONPATH": os.pathsep.join([str(HERE), ENVIRONMENT["PYTHONPATH"]])}
    subprocess.run(command, env=told, check=True)


def report_of(folder: Path) -> dict[str, Any]:
    """What the checker says; a folder without a report was not come to an end with."""
    file = folder / "conformance.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {"wrong": ["the checker gave no answer in time"]}


def report(tool: Tool, judged: list[Judged]) -> None:
    """A line for each artifact, and one for each field that differs."""
    for item in judged:
        said = "REJECTED" if item.refused else "DIFFERS" if item.wrong else "the same"
        known = f", {len(item.known)} told of" if item.known else ""
        print(f"{tool.name:13} {item.name:34} {said}: {item.fields} fields{known}")
        for line in (*item.refused, *item.unknown):
            print(f"{'':14}{line}")


if __name__ == "__main__":
    raise SystemExit(main())
