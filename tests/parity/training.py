"""One run: an artifact built, trained by its own command, and what was written down of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from conformance.environments import BY_NAME, ENVIRONMENT
from msgspec import Struct
from parity.compare import Run
from parity.spoiling import Spoil
from parity.variants import RECIPE, SEED, STEPS

from compiler.build import Compiled, Options, compile_recipe
from compiler.run import command
from compiler.write import write_artifact
from schemas.artifact import Artifact, Target

WATCH: Final = Path(__file__).resolve().parent / "watch"


class RunError(Exception):
    """A run that did not come to its end, or did not say what it did."""


class Asked(Struct, frozen=True):
    """`sets`: overrides of the recipe. `corrected`: known differences taken away. `spoil`: done to the artifact."""

    target: Target
    sets: tuple[str, ...]
    corrected: bool = False
    spoil: Spoil | None = None

    @property
    def folder(self) -> str:
        """A name of its own, for the artifact and its results."""
        spoiled = re.sub(r"\W+", "-", self.spoil.about) if self.spoil else None
        return "-".join(filter(None, (self.target, "corrected" if self.corrected else None, spoiled)))


def train(asked: Asked, scratch: Path) -> Run:
    """Build and run; what was recorded, and the losses."""
    out, results = scratch / asked.folder, scratch / f"{asked.folder}-results"
    sets = (*asked.sets, f"output.dir={results}")
    made = compiled(asked.target, sets)
    if made.artifact is None:
        why = "; ".join(f"{item.code} {item.path}: {item.message}" for item in made.diagnostics)
        raise RunError(f"{asked.target}: not built: {why}")
    write_artifact(made.artifact, out, {}, lambda _: None)
    if asked.spoil:
        asked.spoil.apply(out)
    record = out / "record.jsonl"
    told = {"FTC_PARITY_RECORD": str(record), "FTC_PARITY_CORRECT": str(SEED) if asked.corrected else ""}
    log = execute(made.artifact, out, told)
    found = list(losses(asked.target, log, results))
    if len(found) != STEPS:
        raise RunError(f"{asked.target}: {len(found)} losses in its log for {STEPS} steps\n{log[-3000:]}")
    warned = tuple(item.path for item in made.diagnostics if item.code == "FTC405")
    noted = recorded(record)
    return Run(
        asked.target,
        found,
        noted["batch"],
        noted["weights"][0],
        noted["step"],
        noted["shares"],
        warned,
        asked.corrected,
    )


def compiled(target: Target, sets: tuple[str, ...]) -> Compiled:
    """The recipe for this target, with these overrides."""
    options = Options(target=target, sets=sets, emit=True, ignore_memory=True)
    return compile_recipe(RECIPE.name, RECIPE.read_text(encoding="utf-8"), RECIPE.parent, options)


def recorded(file: Path) -> dict[str, list[Any]]:
    """What was written down, by kind; `shares` are the losses sent backwards before the first step."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    before = [what for name, what in takewhile(lambda line: line[0] != "step", lines) if name == "loss"]
    return {"shares": before} | {
        kind: [what for name, what in lines if name == kind] for kind in ("batch", "weights", "step")
    }


def execute(artifact: Artifact, out: Path, told: dict[str, str]) -> str:
    """What the run prints. One that fails shows its last lines."""
    path = os.pathsep.join([str(WATCH), ENVIRONMENT["PYTHONPATH"]])
    tool = BY_NAME.get(artifact.target)
    variables = {**ENVIRONMENT, **told, "PYTHONPATH": path, "HF_DATASETS_CACHE": str(out / "cache")}
    if tool:
        variables["VENV"] = str(tool.bin.parent)
    done = subprocess.run(command(artifact), cwd=out, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"{artifact.target} ended with {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return done.stdout + done.stderr


def losses(target: Target, log: str, results: Path) -> Iterator[float]:
    """The loss of each step: natively from the run's metrics, else from the lines that transformers prints."""
    if target != "native":
        yield from (float(found) for found in re.findall(r"'loss': '?([0-9.e-]+)", log))
        return
    (metrics,) = results.glob("*/metrics.jsonl")
    for line in metrics.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "loss" in row:
            yield row["loss"]
