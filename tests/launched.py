"""A small recipe for two machines, and its artifact as each launcher starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from msgspec.structs import replace
from native_base import chats, make_base, write_rows

from compiler.build import Options, compile_recipe
from compiler.lock import lock
from compiler.write import write_artifact
from schemas.artifact import RECIPE, Launcher, Target

ROOT = Path(__file__).parents[1]
SMALL = """\
version: 1
name: small
model: {{base: {base}, dtype: float32}}
method: {{kind: lora, rank: 4}}
data: {{train: {{path: {rows}}}, validation: 8, max_length: 64, packing: false}}
training: {{max_steps: {steps}, global_batch_size: 8, micro_batch_size: 4, learning_rate: 1.0e-3, kernels: none,
  gradient_checkpointing: false}}
evaluation: {{every: null}}
checkpoint: {{every: 10}}
logging: {{every: 1}}
output: {{dir: {out}}}
hardware: {{gpu: rtx-4090, count: 1, nodes: 2}}
"""


@cache
def base() -> Path:
    """A tiny base, made once."""
    return make_base(Path(mkdtemp(prefix="ftc-base-")) / "base")


def small(folder: Path, *, steps: int = 40, out: str = "outputs") -> Path:
    """The recipe, with a base and rows beside it. It names a card, and trains without one where there is none."""
    shutil.copytree(base(), folder / "base")
    write_rows(folder / "train.jsonl", chats(0, 96))
    recipe = folder / "small.ftc.yaml"
    recipe.write_text(SMALL.format(base="./base", rows="train.jsonl", steps=steps, out=out), "utf-8")
    return recipe


def ftc(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command line, as a user has it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "compiler.cli", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def build(recipe: Path, launcher: Launcher, *sets: str, target: Target = "native") -> Path:
    """The folder that `ftc build` writes, by this process."""
    folder, text = recipe.parent / f"{target}-{launcher}", recipe.read_text("utf-8")
    options = Options(target=target, launcher=launcher, emit=True, online=False, sets=sets)
    found = compile_recipe(recipe.name, text, recipe.parent, options)
    assert found.artifact, found.diagnostics
    made = replace(found.artifact, files={**found.artifact.files, RECIPE: text})
    write_artifact(made, folder, lock(found, made, text, sets), lambda _: None)
    return folder


def here(**more: str) -> dict[str, str]:
    """The environment of a machine whose packages are this one's: nothing is installed."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**plain, "VENV": sys.prefix, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


def saved(out: Path, process: subprocess.Popen[Any], step: int) -> None:
    """Wait until the run has written that checkpoint; it must not end before."""
    while not (out / "checkpoints" / f"checkpoint-{step}").is_dir():
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"it ended with {process.returncode} before step {step}")
