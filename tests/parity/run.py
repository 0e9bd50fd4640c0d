"""One recipe, four trainers, twenty steps on a CPU: do they see the same tokens, and learn the same? `make parity`.

Each artifact is run by its own command, in its tool's environment (those of `make conformance`), the native one in this
one. A `sitecustomize.py` on the path writes down what the data loaders hand out and what the optimizer is told; losses
are read from the tools' own logs. Ends 1 where something differs that is no named exception (exceptions.py).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from conformance.environments import ENVIRONMENT, TOOLS, install
from msgspec import Struct
from parity.compare import Difference, Run, compare, out_of_order, trained
from parity.page import Found, write_page
from tokenizers import Tokenizer

from backends import TARGETS
from compiler.build import Options, compile_recipe
from compiler.run import command
from compiler.write import write_artifact
from schemas.artifact import Artifact, Target

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

RECIPE: Final = ROOT / "recipes" / "quickstart" / "quickstart.ftc.yaml"
STEPS: Final = 20
SEED: Final = 42
COMMON: Final = (
    f"training.max_steps={STEPS}",
    "~training.epochs",
    f"training.seed={SEED}",
    "training.warmup=2",
    "data.shuffle=false",
    "data.packing=false",
    "data.overlong=truncate",
    "data.validation=null",
    "model.dtype=float32",
    "evaluation.every=null",
    "checkpoint.every=null",
    "logging.every=1",
)
LORA: Final = ("method.dropout=0.0",)
TURNS: Final = 300
"""Conversations of the third recipe: no whole number of steps, so an epoch ends within the twenty."""


class Variant(Struct, frozen=True):
    """A recipe that all four train. `about`: what it shows. `turns`: on conversations of several turns."""

    name: str
    about: str
    sets: tuple[str, ...]
    turns: bool = False


VARIANTS: Final = (
    Variant("lora", "LoRA of every linear layer, conversations of one answer, 32 at once", LORA),
    Variant(
        "full",
        "every weight, with weight decay, so nothing is random at the start",
        ("~method", "method={kind: full}", "training.weight_decay=0.1"),
    ),
    Variant(
        "turns",
        f"LoRA on {TURNS} conversations of one to three answers, some with a system text, 8 at once and 4 times a "
        "step; the rows end, unevenly, and begin again",
        (*LORA, "training.micro_batch_size=8", "data.max_length=128"),
        turns=True,
    ),
)


def main() -> int:
    """1 where something differs that is no named exception."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variants", nargs="*", help="only these of " + ", ".join(item.name for item in VARIANTS))
    asked = parser.parse_args()
    for tool in TOOLS:
        install(tool)
    found: list[Found] = []
    with TemporaryDirectory(prefix="ftc-parity-") as scratch:
        for variant in VARIANTS:
            if not asked.variants or variant.name in asked.variants:
                found.append(measure(variant, Path(scratch) / variant.name))
                report(found[-1])
    if not asked.variants:
        write_page(ROOT / "docs", found)
    return int(any(item.excuse is None for each in found for item in each.differences))


def measure(variant: Variant, scratch: Path) -> Found:
    """All four trained; one that starts from other random values a second time, with torch seeded first."""
    scratch.mkdir()
    data = several_turns(scratch / "turns.jsonl") if variant.turns else RECIPE.parent / "data" / "train.jsonl"
    sets = (*COMMON, *variant.sets, f"data.train=[{{path: {data}, format: messages}}]", f"output.dir={scratch}/runs")
    runs = [train(target, sets, scratch) for target in TARGETS]
    ours, *others = runs
    differences = [*in_order(ours, data), *(item for other in others for item in compare(ours, other))]
    for target in {item.excuse.target: None for item in differences if item.excuse}:
        runs.append(train(target, sets, scratch, seeded=True))
        differences += compare(ours, runs[-1])
    return Found(variant.name, variant.about, runs, differences)


def several_turns(file: Path) -> Path:
    """The quickstart's conversations joined by ones, twos and threes, every other one under a system text."""
    lines = iter((RECIPE.parent / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines())
    system = {"role": "system", "content": "Write the date."}
    with file.open("w", encoding="utf-8") as stream:
        for number in range(TURNS):
            turns = [turn for _ in range(1 + number % 3) for turn in json.loads(next(lines))["messages"]]
            stream.write(json.dumps({"messages": [system, *turns] if number % 2 else turns}) + "\n")
    return file


def in_order(ours: Run, data: Path) -> list[Difference]:
    """Whether the native run trains the file's answers from its first row to its last, and so again."""
    tokenizer = Tokenizer.from_file(str(RECIPE.parent / "base" / "tokenizer.json"))
    decoded = [tokenizer.decode(row) for row in trained(ours)]
    rows = [json.loads(line)["messages"] for line in data.read_text(encoding="utf-8").splitlines()]
    answers = ["".join(turn["content"] for turn in row if turn["role"] == "assistant") for row in rows]
    return out_of_order(ours, answers * (1 + len(decoded) // len(answers)), decoded)


# --- one run


def train(target: Target, sets: tuple[str, ...], scratch: Path, *, seeded: bool = False) -> Run:
    """Build and run; what was recorded, and the losses."""
    out = scratch / f"{target}{'-seeded' * seeded}"
    options = Options(target=target, sets=sets, emit=True, ignore_memory=True)
    made = compile_recipe(RECIPE.name, RECIPE.read_text(encoding="utf-8"), RECIPE.parent, options)
    if made.artifact is None:
        sys.exit(f"{target}: not built: {[(item.code, item.path, item.message) for item in made.diagnostics]}")
    write_artifact(made.artifact, out, {}, lambda _: None)
    record = out / "record.jsonl"
    log = execute(made.artifact, out, {"FTC_PARITY_RECORD": str(record), "FTC_PARITY_SEED": str(SEED) * seeded})
    found = list(losses(target, log, scratch))
    if len(found) != STEPS:
        sys.exit(f"{target}: {len(found)} losses in its log for {STEPS} steps\n{log[-3000:]}")
    lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    noted = {kind: [what for name, what in lines if name == kind] for kind in ("batch", "weights", "step")}
    warned = tuple(item.path for item in made.diagnostics if item.code == "FTC405")
    weights = [(size, values) for size, values in noted["weights"][0]]
    return Run(target, found, noted["batch"], weights, noted["step"], warned, seeded)


def execute(artifact: Artifact, out: Path, told: dict[str, str]) -> str:
    """What the run prints. A run that fails ends everything, with its last lines."""
    path = os.pathsep.join([str(HERE / "watch"), ENVIRONMENT["PYTHONPATH"]])
    tool = next((tool for tool in TOOLS if tool.name == artifact.target), None)
    variables = {**ENVIRONMENT, **told, "PYTHONPATH": path, "HF_DATASETS_CACHE": str(out / "cache")}
    if tool:
        variables["VENV"] = str(tool.bin.parent)
    done = subprocess.run(command(artifact), cwd=out, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{artifact.target} ended with {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return done.stdout + done.stderr


def losses(target: Target, log: str, scratch: Path) -> Iterator[float]:
    """The loss of each step: natively from the run's metrics, else from the lines that transformers prints."""
    if target != "native":
        yield from (float(found) for found in re.findall(r"'loss': '?([0-9.e-]+)", log))
        return
    (metrics,) = (scratch / "runs").glob("*/metrics.jsonl")
    for line in metrics.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "loss" in row:
            yield row["loss"]


def report(found: Found) -> None:
    """The curves and the verdict, on the terminal."""
    print(f"\n{found.name}: {found.about}")
    for run in found.runs:
        shown = " ".join(f"{loss:.4g}" for loss in run.losses)
        print(f"  {run.name:16} {len(run.batches)} batches; losses {shown}")
    for item in found.differences:
        print(f"  {'known ' if item.excuse else 'BROKEN'} {item.run}: {item.text}")
    if not found.differences:
        print("  tokens, labels and steps are the same everywhere, and losses within the limits")


if __name__ == "__main__":
    raise SystemExit(main())
