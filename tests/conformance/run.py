"""The real tools read what ftc builds for them, and what they make of it is compared with the plan: `make conformance`.

Each recipe is compiled for each tool and given to the tool's own parser, then to its own code that loads the model,
prepares the rows and builds the trainer, up to where training begins. What is read out of the trainer's own objects,
field by field, must be what the plan says; what differs must be a warning of the artifact (FTC405), or the recipe's
line is refused. One spoiled artifact of each kind must be noticed, so that a check that sees nothing is. Beside that,
the tools' own chat templates are compared with those that models ship (`templates.py`; alone with `--templates`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from cases import Case, Ground, generated, options, recipes, refused
from environments import ENVIRONMENT, TOOLS, Tool, install
from judging import judge, needless_excuses
from launch import commands, launched, training
from msgspec import Struct, to_builtins
from spoiling import SPOILS, Spoil, is_seen, spoil
from summary import Result, write_page, write_section
from templates import compare_templates, report_templates, section
from worker import REPORT, TOLD

from backends.emission import out_folder
from compiler.build import compile_recipe
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
    parser.add_argument("--only", default="", help="only cases whose name has this pattern in it")
    parser.add_argument("--templates", action="store_true", help="only the chat templates, beside those of the tools")
    parser.add_argument("--keep", type=Path, help="a folder to work in, which is kept")
    asked = parser.parse_args()
    chosen = [tool for tool in TOOLS if not asked.tools or tool.name in asked.tools]
    found: list[Result] = []
    with TemporaryDirectory(prefix="ftc-conformance-") as scratch:
        ground = Ground(asked.keep or Path(scratch))
        if not asked.templates:
            ground.prepare()
            for tool in chosen:
                install(tool)
                found.append(check(tool, ground, asked.only))
        templates = [] if asked.only else compare_templates(ground.place, [tool.name for tool in chosen])
    report_templates(templates)
    wrong = any(item.wrong for item in (*found, *templates))
    if not wrong and len(chosen) == len(TOOLS) and not asked.only:
        if asked.templates:
            write_section(section(templates))
        else:
            write_page(found, section(templates))
    return int(wrong)


def check(tool: Tool, ground: Ground, only: str) -> Result:
    """What the tool makes of every artifact, and of those that are wrong on purpose."""
    made, array = generated(tool.name, ground)
    cases = [case for case in (*recipes(tool.name, ground), *made) if re.search(only, case.name)]
    compiled = {case.name: build(tool, case, ground) for case in cases}
    built = [item for item in compiled.values() if isinstance(item, Built)]
    spoiled = {kind: spoil(built, kind, tool.body) for kind in SPOILS[tool.name]}
    read(tool, [item.folder for item in (*built, *spoiled.values()) if item])
    judged = [judge(tool, item, report_of(item.folder)) for item in built]
    # One that nothing was found to make of is not seen either, unless few cases were asked for.
    unseen = [kind.name for kind, item in spoiled.items() if not (_sees(tool, kind, item) if item else only)]
    needless = [] if only else needless_excuses(tool.name, judged)
    unbuilt = {name: item for name, item in compiled.items() if isinstance(item, str)}
    result = Result(tool.name, sum(not item.case.generated for item in built), judged, array, unbuilt, unseen, needless)
    report(tool, result)
    return result


def _sees(tool: Tool, kind: Spoil, item: Built) -> bool:
    """Whether what was done to the artifact is found, and not something else."""
    judged = judge(tool, item, report_of(item.folder))
    return is_seen(kind, (*judged.refused, *judged.unknown))


def build(tool: Tool, case: Case, ground: Ground) -> Built | str:
    """Write the artifact and what its checker is told; the codes where the recipe is refused."""
    compiled = compile_recipe("recipe.yaml", case.text, case.folder, options(tool.name, case.sets, emit=True))
    plan, artifact = compiled.plan, compiled.artifact
    if plan is None or artifact is None:
        return refused(compiled)
    folder = ground.place / tool.name / case.name
    shutil.rmtree(folder, ignore_errors=True)
    write_artifact(artifact, folder, {}, lambda _: None)
    lines = commands(artifact)
    warned = tuple(item.path for item in compiled.diagnostics if item.code == "FTC405")
    checkpoint = leave_checkpoint(Path(out_folder(tool.name, plan)))
    made = Built(case, plan, folder, warned, str(checkpoint), launched(lines, folder))
    tell(made, to_builtins(training(lines)))
    return made


def leave_checkpoint(out: Path) -> Path:
    """A checkpoint of an earlier run, as the trainers know one."""
    made = out / "checkpoint-7"
    made.mkdir(parents=True, exist_ok=True)
    (made / "trainer_state.json").write_text(json.dumps({"global_step": 7, "epoch": 0.1}), encoding="utf-8")
    return made


def tell(built: Built, command: object) -> None:
    """What the checker needs beside the artifact."""
    stand_in = built.case.stand_in
    told = {
        "steps": built.steps,
        "base": str(stand_in) if stand_in else None,
        "recipe_base": built.plan.model.base,
        "command": command,
    }
    (built.folder / TOLD).write_text(json.dumps(told), encoding="utf-8")


def read(tool: Tool, folders: Iterable[Path]) -> None:
    """Let the tool's own Python look at every folder; a report is left in each."""
    command = [tool.bin / "python", HERE / f"check_{tool.name}.py", *folders]
    told = {**ENVIRONMENT, **SIGNATURES_OF_A_GPU, "PYTHONPATH": os.pathsep.join([str(HERE), ENVIRONMENT["PYTHONPATH"]])}
    subprocess.run(command, env=told, check=True)


def report_of(folder: Path) -> dict[str, Any]:
    """What the checker says; a folder without a report was not come to an end with."""
    file = folder / REPORT
    return json.loads(file.read_text("utf-8")) if file.is_file() else {"wrong": ["the checker gave no answer in time"]}


def report(tool: Tool, result: Result) -> None:
    """A line for each artifact, and one for each field that differs."""
    for name, why in result.refused.items():
        print(f"{tool.name:13} {name:34} not built: {why}")
    for item in result.judged:
        said = "REJECTED" if item.refused else "DIFFERS" if item.wrong else "the same"
        known = f", told of: {', '.join(item.known)}" if item.known else ""
        print(f"{tool.name:13} {item.name:34} {said}: {item.fields} fields{known}")
        for line in (*item.refused, *item.unknown):
            print(f"{'':14}{line}")
    for name in result.unseen:
        print(f"{tool.name:13} {name:34} NOT SEEN")
    for leaf in result.needless:
        print(f"{tool.name:13} {leaf:34} EXCUSED, and nothing needs it")
    print(
        f"{tool.name}: {len(result.judged)} artifacts, {sum(item.fields for item in result.judged)} fields, "
        f"{result.array.covered} of {result.array.pairs} pairs of settings"
    )


if __name__ == "__main__":
    raise SystemExit(main())
